// The same work on many things, a few at a time, until somebody asks to stop.

#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <stop_token>

#include "runtime/worker_pool.h"

namespace runnel::restore {

// As runtime::ParallelFor(), and kCancelled once `stop` was requested.
inline Result<void> ParallelFor(std::size_t count, int threads, const std::stop_token& stop,
                                const std::function<Result<void>(std::size_t)>& work) {
  return runtime::ParallelFor(static_cast<std::size_t>(std::max(threads, 1)), count,
                              [&](std::size_t i) -> Result<void> {
                                if (stop.stop_requested()) {
                                  return Fail(Errc::kCancelled, "cancelled");
                                }
                                return work(i);
                              });
}

}  // namespace runnel::restore
