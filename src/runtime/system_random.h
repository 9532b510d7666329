// The kernel's random numbers.

#pragma once

#include "base/clock.h"

namespace runnel::runtime {

// Each number is a system call of some hundred nanoseconds: for names and jitter, where it matters
// more that two processes, or a process and its fork, never agree.
class SystemRandom final : public Random {
 public:
  std::uint64_t NextU64() override;
};

}  // namespace runnel::runtime
