// The machine's clocks.

#pragma once

#include "base/clock.h"

namespace runnel::runtime {

class SystemClock final : public Clock {
 public:
  WallTime Now() override;
  MonotonicTime MonotonicNow() override;
  void Sleep(std::chrono::nanoseconds duration) override;
};

}  // namespace runnel::runtime
