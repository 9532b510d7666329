// Makes the output front to back out of several files at once.
//
// The output is made in regions of some MiB, each in memory and out of all files, and written in
// one piece: single pages of the newer files, strewn over the database, would otherwise cost a
// write each, and cut the writes of the oldest file, which holds all pages, into small ones too.
// The price is a read of each file for each region, so it pays where reads are cheap.
//
//   (1) All files are walked by their index. Of each page the newest version is decoded, no other.
//   (2) Pages that are written already are left as they are.
//   (3) Memory: kRegionsMax regions, and 100 KiB for each file.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "restore/buffer_pool.h"
#include "restore/database_writer.h"
#include "restore/fault.h"
#include "restore/indexed_file.h"
#include "restore/page_map.h"
#include "restore/worker_pool.h"

namespace runnel::restore {

class RegionMerger {
 public:
  // What is referred to outlives the merger, and the merger the pool's tasks. `limits`: of what a
  // task fetches and decodes. Used by the pool's feeder.
  RegionMerger(const Source& source, DatabaseWriter& writer, WorkerPool& pool, FaultRecord& faults,
               RangeLimits limits);

  // Submits the work for all pages that are not `done` and that one of `files`, newest first,
  // has; adds them to `done`. `on_region` is called after each region with the number of files
  // that are through. Call once; Drain() the pool to know that all is written.
  Result<void> Merge(std::vector<IndexedFile> files, PageMap& done,
                     const std::function<void(std::size_t)>& on_region);

 private:
  struct Region;
  using Task = std::vector<FrameRange>;

  static constexpr int kRegionsMax = 4;

  Result<void> PlanRegion(std::span<IndexedFile> files, PageMap& done, Region& region,
                          std::vector<Task>& tasks) const;
  Result<void> StartRegion(const std::shared_ptr<Region>& region, std::vector<Task> tasks);
  Result<void> RunTask(Region& region, const Task& task, Scratch& scratch);
  Result<void> WriteRegion(Region& region);

  const Source source_;
  DatabaseWriter& writer_;
  WorkerPool& pool_;
  FaultRecord& faults_;
  const RangeLimits limits_;
  const std::uint32_t page_size_;
  const std::uint32_t region_pages_;
  BufferPool buffers_;
  std::atomic<int> regions_ = 0;  // that are not written yet
};

}  // namespace runnel::restore
