// Puts pages at their place in the restored file and adds up their checksums.

#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "ltx/chain.h"
#include "restore/fault.h"
#include "restore/output_file.h"

namespace runnel::restore {

// What proves that the restored pages are right.
enum class Proof : std::uint8_t {
  kChain,          // the sum over all pages is the one that the newest file carries
  kFileChecksums,  // every file that gave a page was read whole and its own checksum is right
};

// Thread-safe. Every page is written once. The disk begins with a region of the file as soon as
// all its pages are there: its writes are large then, and the final sync has little to wait for.
class DatabaseWriter {
 public:
  // `output` and `faults` outlive the writer.
  DatabaseWriter(OutputFile& output, FaultRecord& faults, std::uint32_t page_size,
                 std::uint32_t commit_pages);

  // `pages` holds consecutive pages from `first` on, none of them the lock page.
  Result<void> Write(PageNo first, ByteView pages);
  // `pages` holds the pages of these ascending `numbers`, one after the other.
  Result<void> Write(std::span<const PageNo> numbers, ByteView pages);

  // Pages written; their order does not matter.
  void AddToChecksum(const ltx::ChainSum& pages) {
    checksum_.fetch_add(ToInt(pages.value()), std::memory_order_relaxed);
  }

  std::uint32_t page_size() const { return page_size_; }
  std::uint32_t commit_pages() const { return commit_pages_; }
  // The regions begin at multiples of this.
  std::uint32_t region_pages() const { return region_pages_; }
  std::uint64_t written_bytes() const { return written_bytes_.load(std::memory_order_relaxed); }

  // Of all that was added, when no thread writes any more.
  DatabaseChecksum checksum() const { return DatabaseChecksum{checksum_.load()}; }

 private:
  void CountDown(PageNo first, std::uint32_t count);

  OutputFile& output_;
  FaultRecord& faults_;
  const std::uint32_t page_size_;
  const std::uint32_t commit_pages_;
  const std::uint32_t region_pages_;
  std::vector<std::atomic<std::uint32_t>> missing_;  // pages, of each region
  std::atomic<std::uint64_t> checksum_ = 0;
  std::atomic<std::uint64_t> written_bytes_ = 0;
};

}  // namespace runnel::restore
