// Which copy of each page is the newest: page number -> place in a segment.
//
// Holds a bounded number of entries in memory; past that, sorted runs go to a file. A table of a
// huge transaction (VACUUM) therefore costs disk, not memory.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "fs/file_system.h"
#include "fs/stored_path.h"

namespace runnel::capture {

struct PagePlace {
  PageNo page_no{};
  std::uint64_t offset_bytes = 0;  // of the page's content in the segment
};

// One thread at a time.
class PageTable {
 public:
  // Runs go to `spill_path`, which is made at the first one and is the caller's to remove.
  PageTable(fs::FileSystem& fs, fs::Path spill_path, fs::Ownership ownership,
            std::size_t memory_entries_max);

  // Later calls for the same page win.
  Result<void> Put(PagePlace place);

  // The place of a page among the entries in memory. Nothing may mean that it is in a run.
  std::optional<std::uint64_t> FindInMemory(PageNo page_no) const;

  bool empty() const { return count_ == 0 && runs_.empty(); }

  // Walks all pages in ascending order, each once, at its newest place. The table must not change
  // meanwhile.
  class Cursor {
   public:
    Result<std::optional<PagePlace>> Next();

   private:
    friend class PageTable;
    struct Run;
    explicit Cursor(const PageTable& table);

    std::vector<PagePlace> memory_;
    std::size_t memory_next_ = 0;
    std::vector<std::shared_ptr<Run>> runs_;  // oldest first
  };
  Cursor Walk() const { return Cursor(*this); }

 private:
  struct RunExtent {
    std::uint64_t offset_bytes;
    std::uint64_t entry_count;
  };

  std::size_t SlotOf(PageNo page_no) const;
  void Grow();
  std::vector<PagePlace> SortedMemory() const;
  Result<void> SpillMemory();

  fs::FileSystem& fs_;
  const fs::StoredPath spill_path_;
  const fs::Ownership ownership_;
  const std::size_t memory_entries_max_;

  // Open addressing; page 0 marks a free slot. The size is a power of two, at most half full.
  std::vector<PagePlace> slots_;
  std::size_t count_ = 0;
  std::shared_ptr<fs::File> spill_;
  std::vector<RunExtent> runs_;
  std::uint64_t spill_size_ = 0;
};

}  // namespace runnel::capture
