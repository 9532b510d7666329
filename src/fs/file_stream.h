// Byte streams over a File, which itself has no cursor.

#pragma once

#include <cstdint>

#include "base/byte_stream.h"
#include "base/bytes.h"
#include "base/result.h"
#include "fs/file_system.h"

namespace runnel::fs {

inline constexpr std::size_t kStreamBufferBytes = std::size_t{64} * 1024;

// Collects small appends and writes them in large pieces. What was appended is in the file only
// after Flush(), and not on stable storage before the file's own Sync(). After a failure the file
// is garbage from the last flush on. One thread at a time.
class FileSink final : public ByteSink {
 public:
  // Writes from `offset` of `file` on, which must outlive the sink.
  explicit FileSink(File& file, std::uint64_t offset = 0,
                    std::size_t buffer_bytes = kStreamBufferBytes)
      : file_(file), flushed_offset_(offset), buffer_max_(buffer_bytes) {}
  FileSink(const FileSink&) = delete;
  FileSink& operator=(const FileSink&) = delete;

  Result<void> Append(ByteView bytes) override;
  Result<void> Flush();

  // Where the next byte goes.
  std::uint64_t offset() const { return flushed_offset_ + buffer_.size(); }

 private:
  File& file_;
  std::uint64_t flushed_offset_;
  const std::size_t buffer_max_;
  Bytes buffer_;
};

// Reads `size_bytes` from `offset`, or up to the file's end if that comes first. One thread at a
// time.
class FileSource final : public ByteSource {
 public:
  // `file` must outlive the source.
  FileSource(File& file, std::uint64_t offset, std::uint64_t size_bytes,
             std::size_t buffer_bytes = kStreamBufferBytes)
      : file_(file), offset_(offset), rest_(size_bytes), buffer_max_(buffer_bytes) {}
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  Result<std::size_t> Read(MutableBytes out) override;

 private:
  // Reads from the file itself, and moves on.
  Result<std::size_t> ReadFile(MutableBytes out);

  File& file_;
  std::uint64_t offset_;  // of the next byte that the file is asked for
  std::uint64_t rest_;    // bytes from there on that belong to the source
  const std::size_t buffer_max_;
  Bytes buffer_;
  std::size_t buffer_used_ = 0;  // bytes of it that were handed out
};

}  // namespace runnel::fs
