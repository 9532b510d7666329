#include "capture/scan.h"

#include <algorithm>
#include <utility>

namespace runnel::capture {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{1} << 20;

}  // namespace

DatabaseScan::DatabaseScan(const ScanStart& start, std::unique_ptr<sqlite::Connection> connection,
                           std::unique_ptr<Segment> overlay, Staging::Pin pin)
    : start_(start),
      connection_(std::move(connection)),
      overlay_(std::move(overlay)),
      pin_(std::move(pin)) {
  RUNNEL_CHECK(IsValidPageSize(start_.page_size));
}

DatabaseScan::~DatabaseScan() {
  if (overlay_) (void)overlay_->Remove();  // a left-over is swept at the next start
}

Result<bool> DatabaseScan::Step(std::uint64_t max_bytes, const PageVisitor& visit) {
  if (failure_) return Fail(*failure_);
  auto more = StepOn(max_bytes, visit);
  if (!more) failure_ = more.error();
  return more;
}

Result<bool> DatabaseScan::StepOn(std::uint64_t max_bytes, const PageVisitor& visit) {
  if (!overlay_cursor_ && overlay_) {
    overlay_cursor_ = overlay_->Walk();
    RUNNEL_TRY_VOID(AdvanceOverlay());
  }
  for (std::uint64_t read = 0; read < max_bytes;) {
    if (ToInt(next_) > start_.commit_pages) return false;
    const std::uint32_t pages =
        std::min({static_cast<std::uint32_t>(kChunkBytes / start_.page_size),
                  start_.commit_pages - ToInt(next_) + 1,
                  static_cast<std::uint32_t>((max_bytes - read) / start_.page_size + 1)});
    RUNNEL_TRY_VOID(VisitChunk(pages, visit));
    read += std::uint64_t{pages} * start_.page_size;
  }
  return ToInt(next_) <= start_.commit_pages;
}

Result<void> DatabaseScan::VisitChunk(std::uint32_t page_count, const PageVisitor& visit) {
  const std::uint32_t page_size = start_.page_size;
  buffer_.resize(std::size_t{page_count} * page_size);
  // Zeros past the end of the file: a page there was never written but by frames of the WAL.
  RUNNEL_TRY(const std::size_t real,
             connection_->ReadDatabaseFile(std::uint64_t{ToInt(next_) - 1} * page_size, buffer_));
  (void)real;
  for (std::uint32_t i = 0; i < page_count; ++i, next_ = Next(next_)) {
    const MutableBytes page = MutableBytes(buffer_).subspan(std::size_t{i} * page_size, page_size);
    if (overlay_next_ && overlay_next_->page_no == next_) {
      RUNNEL_TRY_VOID(overlay_->ReadPage(*overlay_next_, page));
      RUNNEL_TRY_VOID(AdvanceOverlay());
    }
    if (next_ != LockPage(page_size)) RUNNEL_TRY_VOID(visit(next_, page));
  }
  return {};
}

Result<void> DatabaseScan::AdvanceOverlay() {
  RUNNEL_TRY(overlay_next_, overlay_cursor_->Next());
  return {};
}

}  // namespace runnel::capture
