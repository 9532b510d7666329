#include "fs/file_stream.h"

#include <algorithm>

namespace runnel::fs {

Result<void> FileSink::Append(ByteView bytes) {
  if (buffer_.size() + bytes.size() > buffer_max_) RUNNEL_TRY_VOID(Flush());
  if (bytes.size() >= buffer_max_) {
    RUNNEL_TRY_VOID(file_.WriteAt(flushed_offset_, bytes));
    flushed_offset_ += bytes.size();
    return {};
  }
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  return {};
}

Result<void> FileSink::Flush() {
  if (buffer_.empty()) return {};
  RUNNEL_TRY_VOID(file_.WriteAt(flushed_offset_, buffer_));
  flushed_offset_ += buffer_.size();
  buffer_.clear();
  return {};
}

Result<std::size_t> FileSource::Read(MutableBytes out) {
  if (out.empty()) return 0;
  if (buffer_used_ == buffer_.size()) {
    if (out.size() >= buffer_max_) return ReadFile(out);
    buffer_used_ = 0;
    buffer_.resize(buffer_max_);
    auto count = ReadFile(buffer_);
    buffer_.resize(count ? *count : 0);
    if (!count) return count;
  }
  const std::size_t count = std::min(out.size(), buffer_.size() - buffer_used_);
  std::copy_n(buffer_.begin() + static_cast<std::ptrdiff_t>(buffer_used_), count, out.begin());
  buffer_used_ += count;
  return count;
}

Result<std::size_t> FileSource::ReadFile(MutableBytes out) {
  const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), rest_));
  RUNNEL_TRY(const std::size_t count, file_.ReadAt(offset_, out.first(wanted)));
  offset_ += count;
  rest_ = count < wanted ? 0 : rest_ - count;
  return count;
}

}  // namespace runnel::fs
