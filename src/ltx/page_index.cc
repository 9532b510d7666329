#include "ltx/page_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/varint.h"
#include "ltx/layout.h"
#include "ltx/page_codec.h"

namespace runnel::ltx {
namespace {

constexpr std::size_t kTailSize = std::size_t{32} * 1024;
constexpr std::size_t kWindowSize = std::size_t{64} * 1024;
constexpr std::uint64_t kFileSizeMin =
    kHeaderSize + kPageHeaderSize + 1 + kIndexLengthSize + kTrailerSize;

std::unexpected<Error> Broken(std::string rule) {
  return Fail(Errc::kCorruption, fmt::format("LTX page index: {}", rule));
}

}  // namespace

class PageIndexCursor::Impl {
 public:
  Impl(FileReader& file, std::uint32_t page_size)
      : file_(file), lock_page_(LockPage(page_size)), frame_size_max_(FrameSizeMax(page_size)) {}

  Result<void> Find();
  Result<std::optional<IndexEntry>> Next();
  const Trailer& trailer() const { return trailer_; }

 private:
  Result<std::optional<IndexEntry>> Parse();
  Result<IndexEntry> ParseEntry(std::uint64_t page_no);
  Result<std::uint64_t> ParseNumber();
  Result<void> CheckEntry(std::uint64_t page_no, std::uint64_t offset, std::uint64_t size) const;
  Result<void> CheckEnd() const;
  Result<void> FillWindow();

  ByteView unparsed() const { return ByteView(window_).subspan(parsed_); }
  std::uint64_t position() const { return window_end_ - unparsed().size(); }

  FileReader& file_;
  const PageNo lock_page_;
  const std::uint64_t frame_size_max_;

  std::uint64_t entries_start_ = 0;  // in the file: the first varint
  std::uint64_t entries_end_ = 0;    // one past the varint 0
  Trailer trailer_;

  Bytes window_;  // a part of the index, up to window_end_ in the file
  std::uint64_t window_end_ = 0;
  std::size_t parsed_ = 0;  // bytes of window_ that are done with
  PageNo last_page_{};
  std::uint64_t next_frame_ = kHeaderSize;  // where the next entry's frame has to begin
  bool ended_ = false;
  std::optional<Error> failure_;
};

Result<void> PageIndexCursor::Impl::Find() {
  const std::uint64_t file_size = file_.size_bytes();
  if (file_size < kFileSizeMin) {
    return Broken(fmt::format("a file of {} bytes is too short to have one", file_size));
  }
  window_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(file_size, kTailSize)));
  const std::uint64_t tail_start = file_size - window_.size();
  RUNNEL_TRY_VOID(file_.ReadAt(tail_start, window_));
  RUNNEL_TRY(trailer_, ParseTrailer(ByteView(window_).last(kTrailerSize)));

  constexpr std::size_t kAfterEntries = kIndexLengthSize + kTrailerSize;
  const auto length = GetBigEndian<std::uint64_t>(window_, window_.size() - kAfterEntries);
  entries_end_ = file_size - kAfterEntries;
  if (length == 0 || length > entries_end_ - kHeaderSize - kPageHeaderSize) {
    return Broken(fmt::format("a length of {} bytes does not fit a file of {}", length, file_size));
  }
  entries_start_ = entries_end_ - length;
  window_end_ = entries_end_;
  if (entries_start_ >= tail_start) {
    window_.resize(window_.size() - kAfterEntries);
    parsed_ = static_cast<std::size_t>(entries_start_ - tail_start);
  } else {
    window_.clear();
    window_end_ = entries_start_;
  }
  return {};
}

Result<std::optional<IndexEntry>> PageIndexCursor::Impl::Next() {
  if (failure_) return Fail(*failure_);
  if (ended_) return std::nullopt;
  auto entry = Parse();
  if (!entry) failure_ = entry.error();
  return entry;
}

Result<std::optional<IndexEntry>> PageIndexCursor::Impl::Parse() {
  RUNNEL_TRY(const std::uint64_t page_no, ParseNumber());
  if (page_no == 0) {
    RUNNEL_TRY_VOID(CheckEnd());
    ended_ = true;
    return std::nullopt;
  }
  return ParseEntry(page_no);
}

Result<IndexEntry> PageIndexCursor::Impl::ParseEntry(std::uint64_t page_no) {
  RUNNEL_TRY(const std::uint64_t offset, ParseNumber());
  RUNNEL_TRY(const std::uint64_t size, ParseNumber());
  RUNNEL_TRY_VOID(CheckEntry(page_no, offset, size));
  last_page_ = PageNo{static_cast<std::uint32_t>(page_no)};
  next_frame_ = offset + size;
  return IndexEntry{.page_no = last_page_, .offset_bytes = offset, .size_bytes = size};
}

Result<void> PageIndexCursor::Impl::CheckEntry(std::uint64_t page_no, std::uint64_t offset,
                                               std::uint64_t size) const {
  if (page_no > std::numeric_limits<std::uint32_t>::max() || page_no == ToInt(lock_page_)) {
    return Broken(fmt::format("there can be no page {}", page_no));
  }
  if (page_no <= ToInt(last_page_)) {
    return Broken(fmt::format("page {} after page {}", page_no, ToInt(last_page_)));
  }
  if (offset != next_frame_) {
    return Broken(fmt::format("page {} at byte {}, the frame before ends at {}", page_no, offset,
                              next_frame_));
  }
  const std::uint64_t pages_end = entries_start_ - kPageHeaderSize;
  if (size < FrameSizeMin() || size > frame_size_max_ || size > pages_end - offset) {
    return Broken(fmt::format("page {} has an impossible frame of {} bytes", page_no, size));
  }
  return {};
}

Result<void> PageIndexCursor::Impl::CheckEnd() const {
  if (position() != entries_end_) {
    return Broken(fmt::format("{} bytes after its end", entries_end_ - position()));
  }
  if (next_frame_ + kPageHeaderSize != entries_start_) {
    return Broken(fmt::format("the last frame ends at byte {}, the pages at {}", next_frame_,
                              entries_start_ - kPageHeaderSize));
  }
  return {};
}

Result<std::uint64_t> PageIndexCursor::Impl::ParseNumber() {
  if (unparsed().size() < kVarintSizeMax) RUNNEL_TRY_VOID(FillWindow());
  const auto number = ParseVarint(unparsed());
  if (!number) return Broken(fmt::format("invalid number at byte {}", position()));
  parsed_ += number->size;
  return number->value;
}

// Moves the unparsed bytes to the front of the window and reads on behind them.
Result<void> PageIndexCursor::Impl::FillWindow() {
  const std::uint64_t rest = entries_end_ - window_end_;
  if (rest == 0) return {};
  const std::size_t kept = unparsed().size();
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(rest, kWindowSize - kept));
  if (kept > 0) std::memmove(window_.data(), window_.data() + parsed_, kept);
  window_.resize(kept + count);
  parsed_ = 0;
  RUNNEL_TRY_VOID(file_.ReadAt(window_end_, MutableBytes(window_).subspan(kept)));
  window_end_ += count;
  return {};
}

PageIndexCursor::PageIndexCursor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PageIndexCursor::PageIndexCursor(PageIndexCursor&&) noexcept = default;
PageIndexCursor& PageIndexCursor::operator=(PageIndexCursor&&) noexcept = default;
PageIndexCursor::~PageIndexCursor() = default;

Result<PageIndexCursor> PageIndexCursor::Open(FileReader& file, std::uint32_t page_size) {
  RUNNEL_CHECK(IsValidPageSize(page_size));
  auto impl = std::make_unique<Impl>(file, page_size);
  RUNNEL_TRY_VOID(impl->Find());
  return PageIndexCursor(std::move(impl));
}

Result<std::optional<IndexEntry>> PageIndexCursor::Next() { return impl_->Next(); }

const Trailer& PageIndexCursor::trailer() const { return impl_->trailer(); }

}  // namespace runnel::ltx
