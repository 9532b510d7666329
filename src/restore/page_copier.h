// Moves every page of the database, in its newest version, from a plan's files to the output.
//
// The files are gone through from the newest to the oldest: the first version of a page that is
// met is the newest. A bit a page remembers what is done, so that memory depends neither on the
// number of files nor on how their pages lie, each page is written once, and files that can add
// nothing are not read.
//
//   (1) A file with a chain, where the chain proves the result, is read by its index: only the
//       page frames that count, in ranges, decoded by many threads.
//   (2) Any other file is read whole, front to back, and its checksum is verified. Pages written
//       before it was proven are in a temporary file that a failure removes.
//
// One thread, the pool's feeder, drives all of it.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ltx/page_index.h"
#include "restore/body_prefetcher.h"
#include "restore/buffer_pool.h"
#include "restore/database_writer.h"
#include "restore/fault.h"
#include "restore/page_map.h"
#include "restore/survey.h"
#include "restore/worker_pool.h"

namespace runnel::restore {

struct CopyOptions {
  std::size_t io_bytes = 0;  // of one range read and of one piece written
  int parallelism = 1;
  Proof proof = Proof::kChain;
};

class PageCopier {
 public:
  // Everything referred to outlives the copier, and the copier the pool's tasks: Drain() the pool,
  // or destroy it, before the copier.
  PageCopier(const Source& source, std::span<const SurveyedFile> files, DatabaseWriter& writer,
             WorkerPool& pool, FaultRecord& faults, CopyOptions options);

  // Copies, and waits until all is written. kCorruption if a page is in none of the files.
  Result<void> Copy();

  std::size_t files_done() const { return files_done_; }

 private:
  // Consecutive frames of one file that are fetched together.
  struct Range {
    std::vector<ltx::IndexEntry> entries;
    std::vector<PageNo> pages;
    std::uint64_t begin() const { return entries.front().offset_bytes; }
    std::uint64_t end() const { return entries.back().offset_bytes + entries.back().size_bytes; }
  };

  Result<void> CopyByIndex(const SurveyedFile& file, std::shared_ptr<const Bytes> body);
  Result<void> CheckEntry(const ltx::IndexEntry& entry) const;
  bool FitsRange(const Range& range, const ltx::IndexEntry& entry) const;
  Result<void> SubmitRange(const SurveyedFile& file, std::shared_ptr<const Bytes> body,
                           Range range);
  Result<void> CopyRange(const SurveyedFile& file, const Bytes* body, const Range& range,
                         Scratch& scratch);

  // Before `pages` more pages are submitted.
  Result<void> SyncNowAndThen(std::size_t pages);

  Result<void> CopyWhole(const SurveyedFile& file, const Bytes* body);
  // `blame` completes an error that came from the file.
  Result<void> DecodeAll(const SurveyedFile& file, ByteSource& bytes,
                         const std::function<Error(Error)>& blame);
  Result<void> SubmitBatch(std::vector<PageNo> numbers, Bytes pages);

  const Source source_;
  const std::span<const SurveyedFile> files_;
  DatabaseWriter& writer_;
  WorkerPool& pool_;
  FaultRecord& faults_;
  const CopyOptions options_;
  const std::uint32_t page_size_;
  const std::size_t range_pages_max_;

  PageMap done_;  // pages that are written, or on their way
  BodyPrefetcher bodies_;
  BufferPool buffers_;
  std::size_t files_done_ = 0;
  std::uint64_t unsynced_bytes_ = 0;
};

}  // namespace runnel::restore
