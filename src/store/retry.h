// When and how often to try again.

#pragma once

#include <chrono>
#include <cstddef>
#include <functional>

#include "base/clock.h"
#include "base/result.h"

namespace runnel::store {

struct RetryPolicy {
  int attempts_max = 8;
  std::chrono::nanoseconds first_pause = std::chrono::milliseconds(100);  // doubles each time
  std::chrono::nanoseconds pause_max = std::chrono::seconds(10);
  // No attempt starts later than this after the first.
  std::chrono::nanoseconds budget = std::chrono::seconds(60);
  std::size_t replay_max_bytes = std::size_t{8} << 20;
};

// The attempts at one operation. What it refers to outlives it.
class RetryAttempts {
 public:
  // `stop_requested`, if there is one, is asked before each pause.
  RetryAttempts(const RetryPolicy& policy, Clock& clock, Random& random,
                const std::function<bool()>& stop_requested);

  // Whether to try again after `error`; if so, returns after the pause.
  bool Again(const Error& error);

 private:
  const RetryPolicy& policy_;
  Clock& clock_;
  Random& random_;
  const std::function<bool()>& stop_requested_;
  const MonotonicTime deadline_;
  std::chrono::nanoseconds pause_;
  int failed_ = 0;
};

// `call` until it succeeds, or RetryAttempts says no: then its last error.
template <class F>
auto Retry(RetryAttempts attempts, F call) -> decltype(call()) {
  while (true) {
    auto result = call();
    if (result || !attempts.Again(result.error())) return result;
  }
}

}  // namespace runnel::store
