// Puts pages at their place in the restored file and adds up their checksums.

#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "base/ids.h"
#include "base/result.h"
#include "restore/fault.h"
#include "restore/output_file.h"

namespace runnel::restore {

// What proves that the restored pages are right.
enum class Proof : std::uint8_t {
  kChain,          // the sum over all pages is the one that the newest file carries
  kFileChecksums,  // every file that gave a page was read whole and its own checksum is right
};

// Thread-safe. Every page is written once.
class DatabaseWriter {
 public:
  // `output` and `faults` outlive the writer.
  DatabaseWriter(OutputFile& output, FaultRecord& faults, std::uint32_t page_size, Proof proof)
      : output_(output), faults_(faults), page_size_(page_size), proof_(proof) {}

  // `pages` holds the pages of these ascending `numbers`, one after the other.
  Result<void> Write(std::span<const PageNo> numbers, ByteView pages);

  // Has the disk write what came so far.
  Result<void> Sync();

  std::uint32_t page_size() const { return page_size_; }
  std::uint64_t written_bytes() const { return written_bytes_.load(std::memory_order_relaxed); }

  // Of all pages written; only for Proof::kChain, when no thread writes any more.
  DatabaseChecksum checksum() const { return DatabaseChecksum{checksum_.load()}; }

 private:
  OutputFile& output_;
  FaultRecord& faults_;
  const std::uint32_t page_size_;
  const Proof proof_;
  std::atomic<std::uint64_t> checksum_ = 0;  // a sum: the order of the pages does not matter
  std::atomic<std::uint64_t> written_bytes_ = 0;
};

}  // namespace runnel::restore
