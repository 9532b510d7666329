// Finds snapshots that a daemon has written after it lost the replica to us.
//
// A daemon that is stopped between reading its claim and writing an object writes it when it wakes.
// What it wrote is in the replica anyway, but for a snapshot that was to take the place of cuts: it
// ends past our own objects, in the history of another database, and a restore would choose it
// (docs/decisions/0007).

#pragma once

#include <chrono>
#include <cstdint>

#include "base/clock.h"
#include "base/result.h"
#include "replicate/destination.h"
#include "replicate/settings.h"
#include "replicate/wake_time.h"

namespace runnel::replicate {

// Lists the snapshots a few times after a claim was taken from another daemon, less and less often,
// and deletes those. One thread at a time; the destination outlives it.
class StrayWatch {
 public:
  static constexpr std::chrono::minutes kFirstWait{1};
  static constexpr std::chrono::hours kLastWait{1};

  StrayWatch(Destination& destination, const Environment& environment)
      : destination_(destination), environment_(environment) {}

  // Looks if it is time to. Returns when it is the next time, if ever.
  Result<WakeTime> Run(MonotonicTime now);

 private:
  Result<void> Look();

  Destination& destination_;
  const Environment environment_;
  std::uint64_t epoch_ = 0;
  std::chrono::nanoseconds wait_{};
  WakeTime next_;
};

}  // namespace runnel::replicate
