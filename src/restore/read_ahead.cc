#include "restore/read_ahead.h"

#include <algorithm>
#include <utility>

#include "restore/object_reader.h"

namespace runnel::restore {

ReadAheadSource::ReadAheadSource(const Source& source, const LtxFile& file, WorkerPool& pool,
                                 BufferPool& buffers, FaultRecord& faults, std::size_t pieces)
    : source_(source),
      file_(file),
      pool_(pool),
      buffers_(buffers),
      faults_(faults),
      pieces_max_(pieces) {}

Result<std::size_t> ReadAheadSource::Read(MutableBytes out) {
  auto count = ReadPiece(out);
  failed_ = failed_ || !count;
  return count;
}

Result<std::size_t> ReadAheadSource::ReadPiece(MutableBytes out) {
  RUNNEL_TRY_VOID(StartPieces());
  if (pieces_.empty()) return 0;
  const std::shared_ptr<Piece> piece = pieces_.front();
  RUNNEL_TRY_VOID(pool_.WaitUntil([&] { return piece->done.load(std::memory_order_acquire); }));
  const std::size_t count = std::min(out.size(), piece->size_bytes - front_read_bytes_);
  std::ranges::copy(ByteView(piece->bytes).subspan(front_read_bytes_, count), out.begin());
  front_read_bytes_ += count;
  if (front_read_bytes_ == piece->size_bytes) {
    buffers_.Return(std::move(piece->bytes));
    pieces_.pop_front();
    front_read_bytes_ = 0;
  }
  return count;
}

Result<void> ReadAheadSource::StartPieces() {
  while (started_bytes_ < file_.size_bytes && pieces_.size() < pieces_max_) {
    auto piece = std::make_shared<Piece>();
    const std::uint64_t offset = started_bytes_;
    piece->size_bytes = static_cast<std::size_t>(
        std::min<std::uint64_t>(buffers_.size_bytes(), file_.size_bytes - offset));
    piece->bytes = buffers_.Take();
    started_bytes_ += piece->size_bytes;
    pieces_.push_back(piece);
    RUNNEL_TRY_VOID(pool_.Submit(
        piece->size_bytes,
        [this_source = source_, &file = file_, &faults = faults_, piece,
         offset](Scratch&) -> Result<void> {
          ObjectReader reader(*this_source.store, this_source.KeyOf(file), file.size_bytes);
          auto read = reader.ReadAt(offset, MutableBytes(piece->bytes).first(piece->size_bytes));
          if (!read) return Fail(faults.AtFile(this_source, file, std::move(read).error()));
          piece->done.store(true, std::memory_order_release);
          return {};
        }));
  }
  return {};
}

}  // namespace runnel::restore
