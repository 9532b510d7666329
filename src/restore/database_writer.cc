#include "restore/database_writer.h"

#include <algorithm>

namespace runnel::restore {
namespace {

// Large enough for the largest requests that disks take, small enough for a core's cache.
constexpr std::uint32_t kRegionBytes = 4 << 20;

// The kernel keeps a write in one piece of memory if it finds one of that size. Larger ones are
// only a little cheaper, hold the file's lock for longer, and are found less often: on a virtual
// machine that gives large pieces of free memory back to its host, fetching them again took more
// time than everything else.
constexpr std::uint64_t kWriteBytes = 64 << 10;

}  // namespace

DatabaseWriter::DatabaseWriter(OutputFile& output, FaultRecord& faults, std::uint32_t page_size,
                               std::uint32_t commit_pages)
    : output_(output),
      faults_(faults),
      page_size_(page_size),
      commit_pages_(commit_pages),
      region_pages_(kRegionBytes / page_size),
      missing_(commit_pages / region_pages_ + 1) {
  for (std::size_t i = 0; i < missing_.size(); ++i) {
    const auto before = static_cast<std::uint32_t>(i * region_pages_);
    missing_[i] = std::min(region_pages_, commit_pages - before);
  }
  const std::uint32_t lock_page = ToInt(LockPage(page_size));
  if (lock_page <= commit_pages) --missing_[(lock_page - 1) / region_pages_];
}

Result<void> DatabaseWriter::Write(PageNo first, ByteView pages) {
  const std::uint64_t offset = std::uint64_t{ToInt(first) - 1} * page_size_;
  for (std::uint64_t done = 0; done < pages.size();) {
    const std::uint64_t to_boundary = kWriteBytes - (offset + done) % kWriteBytes;
    const std::uint64_t size = std::min(to_boundary, pages.size() - done);
    const ByteView piece = pages.subspan(done, size);
    if (auto written = output_.WriteAt(offset + done, piece); !written) {
      return Fail(faults_.AtTarget(std::move(written).error()));
    }
    done += size;
  }
  written_bytes_.fetch_add(pages.size(), std::memory_order_relaxed);
  CountDown(first, static_cast<std::uint32_t>(pages.size() / page_size_));
  return {};
}

Result<void> DatabaseWriter::Write(std::span<const PageNo> numbers, ByteView pages) {
  RUNNEL_CHECK(pages.size() == numbers.size() * page_size_);
  for (std::size_t begin = 0; begin < numbers.size();) {
    std::size_t end = begin + 1;
    while (end < numbers.size() && numbers[end] == Next(numbers[end - 1])) ++end;
    RUNNEL_TRY_VOID(
        Write(numbers[begin], pages.subspan(begin * page_size_, (end - begin) * page_size_)));
    begin = end;
  }
  return {};
}

void DatabaseWriter::CountDown(PageNo first, std::uint32_t count) {
  for (std::uint32_t before = ToInt(first) - 1; count > 0;) {
    const std::uint32_t region = before / region_pages_;
    const std::uint32_t here = std::min(count, region_pages_ - before % region_pages_);
    if (missing_[region].fetch_sub(here, std::memory_order_acq_rel) == here) {
      const std::uint64_t region_bytes = std::uint64_t{region_pages_} * page_size_;
      output_.StartWriteBack(region * region_bytes, region_bytes);
    }
    before += here;
    count -= here;
  }
}

}  // namespace runnel::restore
