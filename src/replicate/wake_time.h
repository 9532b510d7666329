// When a job wants to run again.

#pragma once

#include <algorithm>
#include <optional>

#include "base/clock.h"

namespace runnel::replicate {

// Nothing: when it is woken.
using WakeTime = std::optional<MonotonicTime>;

inline void Earlier(WakeTime& next, WakeTime candidate) {
  if (candidate) next = std::min(next.value_or(*candidate), *candidate);
}

}  // namespace runnel::replicate
