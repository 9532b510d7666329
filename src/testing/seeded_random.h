// Random numbers that are the same for the same seed.

#pragma once

#include <atomic>
#include <cstdint>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"

namespace runnel::testing {

// SplitMix64. Thread-safe, but only one thread makes a run repeatable.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : seed_(seed), state_(seed) {}

  std::uint64_t NextU64() override {
    constexpr std::uint64_t kStep = 0x9E3779B97F4A7C15;
    std::uint64_t z = state_.fetch_add(kStep, std::memory_order_relaxed) + kStep;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }

  // 0 <= result < bound.
  std::uint64_t Below(std::uint64_t bound) {
    RUNNEL_CHECK(bound > 0);
    return NextU64() % bound;
  }

  Bytes NextBytes(std::size_t size) {
    Bytes bytes(size);
    for (std::byte& b : bytes) b = static_cast<std::byte>(NextU64());
    return bytes;
  }

  std::uint64_t seed() const { return seed_; }

 private:
  const std::uint64_t seed_;
  std::atomic<std::uint64_t> state_;
};

}  // namespace runnel::testing
