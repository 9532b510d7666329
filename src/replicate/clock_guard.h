// Whether the wall clock may be trusted to say how old something is.

#pragma once

#include <chrono>
#include <optional>

#include "base/clock.h"

namespace runnel::replicate {

// A wall clock that jumps, or that is far from the newest time in the store, is not believed until
// it has run evenly for a while: whoever set it wrong will have noticed by then, or it was set
// right. Deleting by age is the only thing that asks. One thread at a time.
class ClockGuard {
 public:
  static constexpr std::chrono::minutes kJump{5};
  static constexpr std::chrono::hours kFarAhead{24 * 30};

  explicit ClockGuard(std::chrono::nanoseconds confirm_after) : confirm_after_(confirm_after) {}

  // `newest_in_store` is what the store said when it was listed; an empty store says nothing.
  void Compare(Clock& clock, std::optional<WallTime> newest_in_store);

  // Looks at the clock.
  bool IsTrusted(Clock& clock);

  // When it may be trusted again, if it is not now.
  std::optional<MonotonicTime> trusted_at() const { return trusted_at_; }

 private:
  void Doubt(MonotonicTime now) { trusted_at_ = now + confirm_after_; }

  const std::chrono::nanoseconds confirm_after_;
  std::optional<WallTime> wall_;  // at `monotonic_`
  MonotonicTime monotonic_{};
  std::optional<MonotonicTime> trusted_at_;
};

}  // namespace runnel::replicate
