// A clock that moves only when the test says so.

#pragma once

#include <mutex>

#include "base/clock.h"

namespace runnel::testing {

// Thread-safe. Sleep() returns at once and moves the clock by what was asked for, so that back-off
// takes no time and is seen in the times that are recorded afterwards.
class ManualClock final : public Clock {
 public:
  WallTime Now() override;
  MonotonicTime MonotonicNow() override;
  void Sleep(std::chrono::nanoseconds duration) override;

  // Both clocks go on by `duration`, which is not negative.
  void Advance(std::chrono::nanoseconds duration);

  // Both clocks go on until the monotonic one shows `time`; one that has passed does nothing.
  void AdvanceTo(MonotonicTime time);

  // The wall clock alone jumps, in either direction, as a person or NTP makes it.
  void SetWallTime(WallTime time);

 private:
  std::mutex mutex_;
  // The origins are neither zero nor equal, so that a default-constructed time, or one clock taken
  // for the other, is far off. The wall clock starts at 2026-01-01T00:00:00Z.
  std::chrono::nanoseconds monotonic_ = std::chrono::hours(1000);
  std::chrono::nanoseconds wall_ = std::chrono::seconds(1'767'225'600);
};

}  // namespace runnel::testing
