// When to try again after an error.

#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/clock.h"

namespace runnel::replicate {

// The waits double from `first` up to kLongest, each shortened by up to a quarter at random, so
// that many databases do not come back to a store in the same moment. One thread at a time.
class Backoff {
 public:
  static constexpr std::chrono::nanoseconds kShortest = std::chrono::milliseconds(100);
  static constexpr std::chrono::nanoseconds kLongest = std::chrono::minutes(5);

  explicit Backoff(std::chrono::nanoseconds first)
      : first_(std::clamp(first, kShortest, kLongest)) {}

  // Notes a failure that is known by `now` (not that began then: a try may take longer than the
  // wait); returns when to try again.
  MonotonicTime Failed(MonotonicTime now, Random& random) {
    wait_ = until_ ? std::min(wait_ * 2, kLongest) : first_;
    const auto quarter = static_cast<std::uint64_t>(wait_.count() / 4) + 1;
    until_ = now + wait_ - std::chrono::nanoseconds(random.NextU64() % quarter);
    return *until_;
  }

  void Succeeded() { until_.reset(); }

  // Nothing if the last try succeeded.
  std::optional<MonotonicTime> until() const { return until_; }

 private:
  const std::chrono::nanoseconds first_;
  std::chrono::nanoseconds wait_{};
  std::optional<MonotonicTime> until_;
};

}  // namespace runnel::replicate
