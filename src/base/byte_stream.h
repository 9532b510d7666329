// Where bytes go to and come from, one after the other. Formats are written against these, so
// that they do no I/O of their own.

#pragma once

#include <cstddef>

#include "base/bytes.h"
#include "base/result.h"

namespace runnel {

class ByteSink {
 public:
  virtual ~ByteSink() = default;

  // Takes all of `bytes`, or fails; after a failure what was taken is unknown.
  virtual Result<void> Append(ByteView bytes) = 0;
};

class ByteSource {
 public:
  virtual ~ByteSource() = default;

  // Fills the front of `out` and returns how much. 0 only at the end (or for an empty `out`);
  // fewer bytes than asked for do not mean the end.
  virtual Result<std::size_t> Read(MutableBytes out) = 0;
};

// Fills all of `out`, or fails: kCorruption at an early end.
Result<void> ReadExactly(ByteSource& source, MutableBytes out);

class VectorSink final : public ByteSink {
 public:
  Result<void> Append(ByteView bytes) override;

  const Bytes& bytes() const { return bytes_; }
  Bytes TakeBytes() && { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

// Reads a span. The bytes must outlive the source.
class SpanSource final : public ByteSource {
 public:
  explicit SpanSource(ByteView bytes) : rest_(bytes) {}

  Result<std::size_t> Read(MutableBytes out) override;

 private:
  ByteView rest_;
};

}  // namespace runnel
