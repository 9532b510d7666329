#include "capture/merged_pages.h"

#include <algorithm>

namespace runnel::capture {

MergedPages::MergedPages(const MergeInputs& inputs)
    : inputs_(inputs),
      page_size_(inputs.segment->start().page_size),
      commit_pages_(inputs.segment->end().commit_pages),
      segment_cursor_(inputs.segment->Walk()) {}

Result<std::unique_ptr<MergedPages>> MergedPages::Open(const MergeInputs& inputs) {
  std::unique_ptr<MergedPages> pages(new MergedPages(inputs));
  RUNNEL_TRY_VOID(pages->AdvanceSegment());
  if (inputs.scan_spool != nullptr) {
    RUNNEL_TRY(const fs::FileInfo info, inputs.scan_spool->Info());
    pages->spool_source_ = std::make_unique<fs::FileSource>(*inputs.scan_spool, 0, info.size_bytes);
    pages->spool_ = std::make_unique<ltx::Decoder>(*pages->spool_source_);
    RUNNEL_TRY(const ltx::Header header, pages->spool_->ReadHeader());
    if (header.page_size != pages->page_size_) {
      return Fail(Errc::kCorruption, "the scan's page size is not the WAL's");
    }
    pages->spool_page_.resize(header.page_size);
    RUNNEL_TRY_VOID(pages->AdvanceSpool());
  }
  return pages;
}

Result<std::optional<PageNo>> MergedPages::Next(MutableBytes page) {
  constexpr PageNo kNone{0xFFFFFFFF};
  const PageNo from_segment = segment_next_ ? segment_next_->page_no : kNone;
  const PageNo from_spool = spool_next_.value_or(kNone);
  const PageNo unwritten = NextUnwritten();
  const PageNo next = std::min({from_segment, from_spool, unwritten});
  if (next == kNone || ToInt(next) > commit_pages_) {
    // What is left is past the end of the database. The spool still has to prove itself.
    if (spool_) {
      RUNNEL_TRY(const ltx::Trailer trailer, spool_->Finish());
      (void)trailer;
      spool_.reset();
    }
    return std::nullopt;
  }
  if (next == from_segment) {
    RUNNEL_TRY_VOID(inputs_.segment->ReadPage(*segment_next_, page));
    RUNNEL_TRY_VOID(AdvanceSegment());
  } else if (next == from_spool) {
    std::ranges::copy(spool_page_, page.begin());
  } else {
    RUNNEL_TRY_VOID(inputs_.read_raw(next, page));
  }
  if (next == from_spool) RUNNEL_TRY_VOID(AdvanceSpool());
  last_ = next;
  return next;
}

// The first page of the database's growth that has not come yet.
PageNo MergedPages::NextUnwritten() const {
  const PageNo grown = std::max(runnel::Next(last_), PageNo{inputs_.previous_commit_pages + 1});
  return grown == LockPage(page_size_) ? runnel::Next(grown) : grown;
}

Result<void> MergedPages::AdvanceSegment() {
  do {
    RUNNEL_TRY(segment_next_, segment_cursor_.Next());
  } while (segment_next_ && segment_next_->page_no == LockPage(page_size_));
  return {};
}

Result<void> MergedPages::AdvanceSpool() {
  RUNNEL_TRY(const std::optional<ltx::IndexEntry> entry, spool_->ReadPage(spool_page_));
  spool_next_ = entry ? std::optional(entry->page_no) : std::nullopt;
  return {};
}

}  // namespace runnel::capture
