// A file of a store as a stream, fetched in pieces by the threads of a pool, some ahead of the
// reader.

#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>

#include "base/byte_stream.h"
#include "restore/buffer_pool.h"
#include "restore/fault.h"
#include "restore/worker_pool.h"

namespace runnel::restore {

// Used by the pool's feeder.
class ReadAheadSource final : public ByteSource {
 public:
  // Pieces have the size of `buffers`; at most `pieces` are held or on their way. What is referred
  // to outlives the source and the pool's tasks.
  ReadAheadSource(const Source& source, const LtxFile& file, WorkerPool& pool, BufferPool& buffers,
                  FaultRecord& faults, std::size_t pieces);

  // Fails as the pool; a failure to read the file is one of the pool's.
  Result<std::size_t> Read(MutableBytes out) override;

  // Read() has failed.
  bool failed() const { return failed_; }

 private:
  struct Piece {
    Bytes bytes;
    std::size_t size_bytes = 0;
    std::atomic<bool> done = false;
  };

  Result<void> StartPieces();
  Result<std::size_t> ReadPiece(MutableBytes out);

  const Source source_;
  const LtxFile& file_;
  WorkerPool& pool_;
  BufferPool& buffers_;
  FaultRecord& faults_;
  const std::size_t pieces_max_;
  std::uint64_t started_bytes_ = 0;
  std::deque<std::shared_ptr<Piece>> pieces_;  // in order; the front is being read
  std::size_t front_read_bytes_ = 0;
  bool failed_ = false;
};

}  // namespace runnel::restore
