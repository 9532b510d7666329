#include "restore/region_merger.h"

#include <algorithm>
#include <utility>

namespace runnel::restore {

// A stretch of the output while it is made.
struct RegionMerger::Region {
  Region(PageNo first, std::uint32_t count) : first_page(first), has(count) {}

  std::uint32_t IndexOf(PageNo page) const { return ToInt(page) - ToInt(first_page); }
  PageNo last_page() const {
    return PageNo{ToInt(first_page) + static_cast<std::uint32_t>(has.size()) - 1};
  }

  PageNo first_page;
  std::vector<bool> has;                    // which of its pages are made here
  Bytes bytes;                              // of all its pages
  std::atomic<std::size_t> unfinished = 0;  // tasks
};

RegionMerger::RegionMerger(const Source& source, DatabaseWriter& writer, WorkerPool& pool,
                           FaultRecord& faults, RangeLimits limits)
    : source_(source),
      writer_(writer),
      pool_(pool),
      faults_(faults),
      limits_(limits),
      page_size_(writer.page_size()),
      region_pages_(std::min(writer.region_pages(), std::max(writer.commit_pages(), 1U))),
      buffers_(std::size_t{region_pages_} * page_size_) {}

Result<void> RegionMerger::Merge(std::vector<IndexedFile> files, PageMap& done,
                                 const std::function<void(std::size_t)>& on_region) {
  const std::uint32_t commit_pages = writer_.commit_pages();
  for (std::uint32_t before = 0; before < commit_pages && done.missing() > 0;) {
    const std::uint32_t count = std::min(region_pages_, commit_pages - before);
    auto region = std::make_shared<Region>(PageNo{before + 1}, count);
    std::vector<Task> tasks;
    RUNNEL_TRY_VOID(PlanRegion(files, done, *region, tasks));
    if (!tasks.empty()) RUNNEL_TRY_VOID(StartRegion(region, std::move(tasks)));
    on_region(static_cast<std::size_t>(
        std::ranges::count_if(files, [](const IndexedFile& file) { return !file.next(); })));
    before += count;
  }
  return {};
}

Result<void> RegionMerger::PlanRegion(std::span<IndexedFile> files, PageMap& done, Region& region,
                                      std::vector<Task>& tasks) const {
  std::size_t task_pages = limits_.pages;
  const auto add = [&](FrameRange range) {
    if (range.entries().empty()) return;
    // Short ranges share a task.
    if (task_pages + range.entries().size() > limits_.pages) {
      tasks.emplace_back();
      task_pages = 0;
    }
    task_pages += range.entries().size();
    tasks.back().push_back(std::move(range));
  };
  for (IndexedFile& file : files) {
    FrameRange range = file.NewRange();
    while (file.next() && file.next()->page_no <= region.last_page()) {
      const ltx::IndexEntry entry = *file.next();
      if (done.IsPage(entry.page_no) && !done.Has(entry.page_no)) {
        RUNNEL_TRY_VOID(file.CheckSize());
        if (!range.Fits(entry, limits_)) add(std::exchange(range, file.NewRange()));
        range.Add(entry);
        done.Add(entry.page_no);
        region.has[region.IndexOf(entry.page_no)] = true;
      }
      RUNNEL_TRY_VOID(file.Pass());
    }
    add(std::move(range));
  }
  return {};
}

Result<void> RegionMerger::StartRegion(const std::shared_ptr<Region>& region,
                                       std::vector<Task> tasks) {
  RUNNEL_TRY_VOID(pool_.WaitUntil([this] { return regions_.load() < kRegionsMax; }));
  ++regions_;
  region->bytes = buffers_.Take();
  region->unfinished = tasks.size();
  for (Task& task : tasks) {
    // The memory is the regions', which are counted.
    constexpr std::size_t kCostBytes = 0;
    RUNNEL_TRY_VOID(
        pool_.Submit(kCostBytes, [this, region, task = std::move(task)](Scratch& scratch) {
          return RunTask(*region, task, scratch);
        }));
  }
  return {};
}

// On a thread of the pool.
Result<void> RegionMerger::RunTask(Region& region, const Task& task, Scratch& scratch) {
  ltx::ChainSum sum;
  for (const FrameRange& range : task) {
    const auto place = [&](std::size_t i) {
      const std::size_t index = region.IndexOf(range.entries()[i].page_no);
      return MutableBytes(region.bytes).subspan(index * page_size_, page_size_);
    };
    RUNNEL_TRY_VOID(range.Decode(source_, faults_, scratch.input, place, sum));
  }
  writer_.AddToChecksum(sum);
  if (region.unfinished.fetch_sub(1, std::memory_order_acq_rel) > 1) return {};
  return WriteRegion(region);
}

Result<void> RegionMerger::WriteRegion(Region& region) {
  for (std::size_t begin = 0; begin < region.has.size();) {
    if (!region.has[begin]) {
      ++begin;
      continue;
    }
    std::size_t end = begin + 1;
    while (end < region.has.size() && region.has[end]) ++end;
    const PageNo first{ToInt(region.first_page) + static_cast<std::uint32_t>(begin)};
    RUNNEL_TRY_VOID(writer_.Write(
        first, ByteView(region.bytes).subspan(begin * page_size_, (end - begin) * page_size_)));
    begin = end;
  }
  buffers_.Return(std::move(region.bytes));
  --regions_;
  return {};
}

}  // namespace runnel::restore
