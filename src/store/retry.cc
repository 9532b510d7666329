#include "store/retry.h"

#include <algorithm>
#include <cstdint>

namespace runnel::store {

RetryAttempts::RetryAttempts(const RetryPolicy& policy, Clock& clock, Random& random,
                             const std::function<bool()>& stop_requested)
    : policy_(policy),
      clock_(clock),
      random_(random),
      stop_requested_(stop_requested),
      deadline_(clock.MonotonicNow() + policy.budget),
      pause_(policy.first_pause) {}

bool RetryAttempts::Again(const Error& error) {
  if (!error.retryable() || ++failed_ >= policy_.attempts_max) return false;
  if (stop_requested_ && stop_requested_()) return false;
  // Between half and all of the pause, so that clients that failed together part.
  const auto half = pause_.count() / 2;
  const auto random_part = static_cast<std::int64_t>(
      random_.NextU64() % (static_cast<std::uint64_t>(pause_.count() - half) + 1));
  const std::chrono::nanoseconds pause(half + random_part);
  if (clock_.MonotonicNow() + pause > deadline_) return false;
  clock_.Sleep(pause);
  pause_ = std::min(2 * pause_, policy_.pause_max);
  return true;
}

}  // namespace runnel::store
