// Time and randomness as the program sees them. Real ones are in runtime/, manual ones in testing/.

#pragma once

#include <chrono>
#include <cstdint>

namespace runnel {

// Wall-clock time, milliseconds since the Unix epoch: the resolution of an LTX header.
using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;

// A point on a clock that never jumps; its origin means nothing.
using MonotonicTime = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual WallTime Now() = 0;
  virtual MonotonicTime MonotonicNow() = 0;

  // Blocks the calling thread. For back-off inside one operation, never to wait for an event.
  virtual void Sleep(std::chrono::nanoseconds duration) = 0;
};

// Thread-safe.
class Random {
 public:
  virtual ~Random() = default;
  virtual std::uint64_t NextU64() = 0;
};

}  // namespace runnel
