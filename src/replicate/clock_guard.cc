#include "replicate/clock_guard.h"

namespace runnel::replicate {

void ClockGuard::Compare(Clock& clock, std::optional<WallTime> newest_in_store) {
  if (!newest_in_store) return;
  const WallTime wall = clock.Now();
  const bool behind = wall < *newest_in_store - kJump;
  const bool far_ahead = wall > *newest_in_store + kFarAhead;
  if (behind || far_ahead) Doubt(clock.MonotonicNow());
}

bool ClockGuard::IsTrusted(Clock& clock) {
  const WallTime wall = clock.Now();
  const MonotonicTime monotonic = clock.MonotonicNow();
  if (wall_) {
    const auto ran = std::chrono::duration_cast<std::chrono::nanoseconds>(wall - *wall_);
    const auto jump = ran - (monotonic - monotonic_);
    if (jump > kJump || jump < -kJump) Doubt(monotonic);
  }
  wall_ = wall;
  monotonic_ = monotonic;
  if (trusted_at_ && monotonic >= *trusted_at_) trusted_at_.reset();
  return !trusted_at_.has_value();
}

}  // namespace runnel::replicate
