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
//   (3) From where all older files can be read by their index, few are left and reads are cheap,
//       they are merged (region_merger.h) instead of copied one after the other.
//
// One thread, the pool's feeder, drives all of it.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/byte_stream.h"
#include "restore/body_prefetcher.h"
#include "restore/buffer_pool.h"
#include "restore/database_writer.h"
#include "restore/fault.h"
#include "restore/frame_range.h"
#include "restore/indexed_file.h"
#include "restore/page_map.h"
#include "restore/region_merger.h"
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
  bool ReadsByIndex(const SurveyedFile& file) const;
  // The number of the oldest files that are merged.
  std::size_t CountToMerge() const;

  Result<IndexedFile> OpenIndexed(std::size_t i);
  Result<void> Merge(std::size_t count);
  Result<void> CopyByIndex(IndexedFile file);
  Result<void> SubmitRange(FrameRange range);
  Result<void> CopyRange(const FrameRange& range, Scratch& scratch);

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
  const RangeLimits limits_;

  PageMap done_;  // pages that are written, or on their way
  BodyPrefetcher bodies_;
  BufferPool buffers_;
  RegionMerger merger_;
  std::size_t files_done_ = 0;
};

}  // namespace runnel::restore
