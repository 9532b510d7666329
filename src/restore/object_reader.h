// An object of a store as a file of known size.

#pragma once

#include <cstdint>
#include <utility>

#include "ltx/page_index.h"
#include "store/object_store.h"

namespace runnel::restore {

// Reads an object of which a listing said how large it is. Anything shorter is kCorruption. An
// object that is gone is kUnavailable: it was there when the replica was listed, and listing again
// may show what took its place. Thread-safe.
class ObjectReader final : public ltx::FileReader {
 public:
  // `store` outlives the reader.
  ObjectReader(store::ObjectStore& store, store::ObjectKey key, std::uint64_t size_bytes)
      : store_(store), key_(std::move(key)), size_bytes_(size_bytes) {}

  Result<void> ReadAt(std::uint64_t offset, MutableBytes out) override;
  std::uint64_t size_bytes() const override { return size_bytes_; }

 private:
  store::ObjectStore& store_;
  const store::ObjectKey key_;
  const std::uint64_t size_bytes_;
};

// A file that is in memory already. The bytes outlive the reader.
class SpanReader final : public ltx::FileReader {
 public:
  explicit SpanReader(ByteView bytes) : bytes_(bytes) {}

  Result<void> ReadAt(std::uint64_t offset, MutableBytes out) override;
  std::uint64_t size_bytes() const override { return bytes_.size(); }

 private:
  ByteView bytes_;
};

}  // namespace runnel::restore
