// Streams between a store and those who read and write LTX files.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/byte_stream.h"
#include "base/result.h"
#include "fs/file_stream.h"
#include "fs/file_system.h"
#include "ltx/format.h"
#include "store/object_store.h"

namespace runnel::replicate {

// A local file, which it owns.
class OwnedFileSource final : public ByteSource {
 public:
  OwnedFileSource(std::unique_ptr<fs::File> file, std::uint64_t size_bytes)
      : file_(std::move(file)), source_(*file_, 0, size_bytes) {}
  Result<std::size_t> Read(MutableBytes out) override { return source_.Read(out); }

 private:
  std::unique_ptr<fs::File> file_;
  fs::FileSource source_;
};

// Hands on to `next` until somebody asks to stop: a merge of any size ends soon then.
class StoppableSink final : public ByteSink {
 public:
  StoppableSink(ByteSink& next, const std::atomic<bool>& stop) : next_(next), stop_(stop) {}
  Result<void> Append(ByteView bytes) override {
    if (stop_.load(std::memory_order_relaxed)) return Fail(Errc::kCancelled, "stopping");
    return next_.Append(bytes);
  }

 private:
  ByteSink& next_;
  const std::atomic<bool>& stop_;
};

// The header of an LTX object.
Result<ltx::Header> ReadObjectHeader(store::ObjectStore& store, const store::ObjectKey& key);

}  // namespace runnel::replicate
