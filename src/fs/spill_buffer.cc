#include "fs/spill_buffer.h"

namespace runnel::fs {

Result<void> SpillBuffer::Append(ByteView bytes) {
  if (!sink_ && memory_.size() + bytes.size() > memory_max_) RUNNEL_TRY_VOID(Spill());
  if (sink_) return sink_->Append(bytes);
  memory_.insert(memory_.end(), bytes.begin(), bytes.end());
  return {};
}

Result<void> SpillBuffer::CopyTo(ByteSink& sink) {
  if (!sink_) return sink.Append(memory_);
  RUNNEL_TRY_VOID(sink_->Flush());
  FileSource source(*file_, 0, sink_->offset());
  Bytes piece(kStreamBufferBytes);
  std::uint64_t copied = 0;
  while (copied < sink_->offset()) {
    RUNNEL_TRY(const std::size_t count, source.Read(piece));
    if (count == 0) return Fail(Errc::kIo, spill_path_.native() + ": cut short by somebody else");
    RUNNEL_TRY_VOID(sink.Append(ByteView(piece).first(count)));
    copied += count;
  }
  return {};
}

Result<void> SpillBuffer::Spill() {
  RUNNEL_TRY(auto file, files_.Open(spill_path_, OpenMode::kCreateNew, ownership_));
  RUNNEL_TRY_VOID(files_.Remove(spill_path_));
  RUNNEL_TRY_VOID(file->WriteAt(0, memory_));
  file_ = std::move(file);
  sink_.emplace(*file_, memory_.size());
  memory_ = Bytes();
  return {};
}

}  // namespace runnel::fs
