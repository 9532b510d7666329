// An object as a stream of bytes.

#pragma once

#include <cstdint>

#include "base/byte_stream.h"
#include "store/object_store.h"

namespace runnel::store {

// Fetches window after window, so that memory does not grow with the object. Retrying a window is
// the store's own work (store/retrying_store.h). One thread at a time.
class ObjectSource final : public ByteSource {
 public:
  static constexpr std::size_t kWindowBytes = std::size_t{1} << 20;

  // Reads from `offset` to the object's end, or `size_max_bytes` if that comes first. `store` must
  // outlive the source.
  ObjectSource(ObjectStore& store, ObjectKey key, std::uint64_t offset = 0,
               std::uint64_t size_max_bytes = UINT64_MAX, std::size_t window_bytes = kWindowBytes)
      : store_(store),
        key_(std::move(key)),
        offset_(offset),
        rest_(size_max_bytes),
        window_max_(window_bytes) {}
  ObjectSource(const ObjectSource&) = delete;
  ObjectSource& operator=(const ObjectSource&) = delete;

  Result<std::size_t> Read(MutableBytes out) override;

 private:
  Result<void> Fetch();

  ObjectStore& store_;
  const ObjectKey key_;
  std::uint64_t offset_;  // of the next window
  std::uint64_t rest_;    // bytes that may still be asked for
  const std::size_t window_max_;
  Bytes window_;
  std::size_t window_used_ = 0;  // bytes of it that were handed out
};

}  // namespace runnel::store
