// Tells how far a restore is, not too often.

#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "restore/execute.h"

namespace runnel::restore {

// One thread at a time.
class ProgressReporter {
 public:
  ProgressReporter(Clock& clock, std::function<void(const RestoreProgress&)> report)
      : clock_(clock), report_(std::move(report)) {}

  void Always(const RestoreProgress& progress) {
    if (!report_) return;
    last_ = clock_.MonotonicNow();
    report_(progress);
  }

  void IfDue(const std::function<RestoreProgress()>& progress) {
    constexpr std::chrono::milliseconds kInterval(100);
    if (!report_ || (last_ && clock_.MonotonicNow() - *last_ < kInterval)) return;
    Always(progress());
  }

 private:
  Clock& clock_;
  const std::function<void(const RestoreProgress&)> report_;
  std::optional<MonotonicTime> last_;
};

}  // namespace runnel::restore
