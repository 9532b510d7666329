// A byte source read in blocks, so that a parser may look at small pieces. Not for other folders.

#pragma once

#include <cstdint>
#include <memory>

#include "base/byte_stream.h"
#include "base/result.h"

namespace runnel::ltx {

// One thread at a time.
class ReadAhead {
 public:
  // `source` outlives this. Reads ask for at most `window_bytes`, or for what Peek() needs.
  ReadAhead(ByteSource& source, std::size_t window_bytes)
      : source_(source), window_(window_bytes) {}

  // The next `size` bytes without taking them; valid until the next call. kCorruption if the
  // source ends before.
  Result<ByteView> Peek(std::size_t size);

  // Takes `size` bytes that Peek() has shown.
  void Consume(std::size_t size);

  Result<bool> AtEnd();

  // Makes room for pieces of `size` bytes, so that Peek() of them allocates nothing.
  void Reserve(std::size_t size);

  // Bytes taken so far.
  std::uint64_t offset() const { return offset_; }

 private:
  std::size_t buffered() const { return end_ - begin_; }
  void MakeRoom(std::size_t size);

  ByteSource& source_;
  const std::size_t window_;
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;  // [begin_, end_) of buffer_ is read and not taken
  std::size_t end_ = 0;
  std::uint64_t offset_ = 0;
};

}  // namespace runnel::ltx
