#include "testing/manual_clock.h"

#include "base/check.h"

namespace runnel::testing {

WallTime ManualClock::Now() {
  const std::scoped_lock lock(mutex_);
  return WallTime(std::chrono::floor<std::chrono::milliseconds>(wall_));
}

MonotonicTime ManualClock::MonotonicNow() {
  const std::scoped_lock lock(mutex_);
  return MonotonicTime(monotonic_);
}

void ManualClock::Sleep(std::chrono::nanoseconds duration) {
  if (duration > duration.zero()) Advance(duration);
}

void ManualClock::Advance(std::chrono::nanoseconds duration) {
  RUNNEL_CHECK(duration >= duration.zero());
  const std::scoped_lock lock(mutex_);
  monotonic_ += duration;
  wall_ += duration;
}

void ManualClock::AdvanceTo(MonotonicTime time) {
  const std::scoped_lock lock(mutex_);
  const std::chrono::nanoseconds duration = time.time_since_epoch() - monotonic_;
  if (duration <= duration.zero()) return;
  monotonic_ += duration;
  wall_ += duration;
}

void ManualClock::SetWallTime(WallTime time) {
  const std::scoped_lock lock(mutex_);
  wall_ = time.time_since_epoch();
}

}  // namespace runnel::testing
