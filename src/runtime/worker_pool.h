// The same work on many items, on several threads.

#pragma once

#include <cstddef>
#include <functional>

#include "base/result.h"

namespace runnel::runtime {

// Calls `work` for each index below `count`, on up to `workers` threads at once: the caller's and
// workers - 1 that live for the time of the call. Indices start in order. After a failure none
// starts any more; those that are going on end first. Returns the failure of the lowest index.
//
// With `workers` 1, and where the system gives no further thread, it is a plain loop: so tests that
// fail the n-th call of something stay exact.
Result<void> ParallelFor(std::size_t workers, std::size_t count,
                         const std::function<Result<void>(std::size_t index)>& work);

}  // namespace runnel::runtime
