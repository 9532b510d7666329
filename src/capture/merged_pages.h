// The pages of one cut in ascending order: what a scan found, overlaid by what was captured.

#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "base/ids.h"
#include "base/result.h"
#include "capture/segment.h"
#include "fs/file_stream.h"
#include "fs/file_system.h"
#include "ltx/decoder.h"

namespace runnel::capture {

// Reads one page of the database file as it lies on the disk.
using RawPageReader = std::function<Result<void>(PageNo, MutableBytes page)>;

struct MergeInputs {
  const Segment* segment = nullptr;         // newest copy of each captured page
  fs::File* scan_spool = nullptr;           // LTX file of what a scan found; none: no scan
  std::uint32_t previous_commit_pages = 0;  // size of the database before the cut
  // For pages that joined the database without being written (SQLite may leave a page that is
  // allocated and freed again unwritten; its content means nothing, but there has to be one).
  RawPageReader read_raw;
};

// One thread at a time; goes through the pages once.
class MergedPages {
 public:
  // What `inputs` points to outlives this.
  static Result<std::unique_ptr<MergedPages>> Open(const MergeInputs& inputs);

  // The next page into `page`; nothing after the last one. Pages past the segment's commit size
  // and the lock page never come; pages past `previous_commit_pages` come without a gap.
  Result<std::optional<PageNo>> Next(MutableBytes page);

 private:
  explicit MergedPages(const MergeInputs& inputs);

  Result<void> AdvanceSegment();
  Result<void> AdvanceSpool();
  PageNo NextUnwritten() const;

  const MergeInputs inputs_;
  const std::uint32_t page_size_;
  const std::uint32_t commit_pages_;
  PageTable::Cursor segment_cursor_;
  std::optional<PagePlace> segment_next_;
  std::unique_ptr<fs::FileSource> spool_source_;
  std::unique_ptr<ltx::Decoder> spool_;
  std::optional<PageNo> spool_next_;
  Bytes spool_page_;
  PageNo last_{};
};

}  // namespace runnel::capture
