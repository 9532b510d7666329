#include "restore/frame_range.h"

#include "ltx/decoder.h"
#include "restore/object_reader.h"

namespace runnel::restore {
namespace {

// Frames of superseded pages this long are read and dropped rather than split a request in two.
constexpr std::uint64_t kGapMaxBytes = 16 * 1024;

}  // namespace

bool FrameRange::Fits(const ltx::IndexEntry& entry, const RangeLimits& limits) const {
  if (entries_.empty()) return true;
  return entries_.size() < limits.pages && entry.offset_bytes - end() <= kGapMaxBytes &&
         entry.offset_bytes + entry.size_bytes - begin() <= limits.bytes;
}

Result<ByteView> FrameRange::Fetch(const Source& source, Bytes& buffer) const {
  if (body_ != nullptr) {
    return ByteView(*body_).subspan(static_cast<std::size_t>(begin()), size_bytes());
  }
  const MutableBytes input = Scratch::Take(buffer, size_bytes());
  ObjectReader reader(*source.store, source.KeyOf(file_->file), file_->file.size_bytes);
  RUNNEL_TRY_VOID(reader.ReadAt(begin(), input));
  return input;
}

Result<void> FrameRange::Decode(const Source& source, FaultRecord& faults, Bytes& buffer,
                                const std::function<MutableBytes(std::size_t)>& place,
                                ltx::ChainSum& sum) const {
  const auto blame = [&](Error error) {
    return Fail(faults.AtFile(source, file_->file, std::move(error)));
  };
  auto input = Fetch(source, buffer);
  if (!input) return blame(std::move(input).error());
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const ltx::IndexEntry& entry = entries_[i];
    const ByteView frame = input->subspan(static_cast<std::size_t>(entry.offset_bytes - begin()),
                                          static_cast<std::size_t>(entry.size_bytes));
    const MutableBytes page = place(i);
    auto decoded = ltx::DecodePageFrame(entry, frame, page);
    if (!decoded) return blame(std::move(decoded).error());
    sum.Add(ltx::PageChecksum(entry.page_no, page));
  }
  return {};
}

}  // namespace runnel::restore
