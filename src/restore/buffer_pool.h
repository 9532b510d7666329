// Buffers of one size, used again and again: a fresh one would be zeroed and faulted in each time.

#pragma once

#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace runnel::restore {

// Thread-safe.
class BufferPool {
 public:
  explicit BufferPool(std::size_t size_bytes) : size_bytes_(size_bytes) {}

  Bytes Take() {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        Bytes buffer = std::move(free_.back());
        free_.pop_back();
        return buffer;
      }
    }
    return Bytes(size_bytes_);
  }

  void Return(Bytes buffer) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(buffer));
  }

  std::size_t size_bytes() const { return size_bytes_; }

 private:
  const std::size_t size_bytes_;
  std::mutex mutex_;
  std::vector<Bytes> free_;
};

}  // namespace runnel::restore
