// Keeps one destination in shape: compacts its levels and deletes what has had its time.

#pragma once

#include <array>
#include <atomic>
#include <optional>

#include "replicate/backoff.h"
#include "replicate/clock_guard.h"
#include "replicate/cut_source.h"
#include "replicate/destination.h"
#include "replicate/events.h"
#include "replicate/merge_inputs.h"
#include "replicate/schedule.h"
#include "replicate/settings.h"
#include "replicate/stray_watch.h"
#include "replicate/wake_time.h"
#include "runtime/rate_limited_log.h"
#include "runtime/scheduler.h"

namespace runnel::replicate {

// A job of the bulk pool. One merge or one batch of deletions a run, so that databases take turns.
// Waits only for the next slot at which it has something to do.
//
// A file is in the manifest only once it is whole in the store, and out of it before it is deleted,
// so that whatever fails, the manifest names nothing that a restore would miss.
class Maintainer final : public runtime::Job {
 public:
  // All of it outlives the maintainer.
  Maintainer(Destination& destination, CutSource& source, DestinationEvents& events,
             const Environment& environment);

  std::optional<MonotonicTime> Run() override;

  // A merge that is going on ends with an error soon.
  void RequestStop() { stop_.store(true, std::memory_order_relaxed); }

  // Compaction works: staged cuts that are not compacted yet will be wanted.
  bool healthy() const { return healthy_.load(std::memory_order_relaxed); }

 private:
  Result<WakeTime> Step(MonotonicTime now);
  std::optional<Level> DueLevel(WallTime wall, WakeTime& next) const;
  Result<void> Compact(Level level);
  Result<void> Merge(Level level, std::span<const LeveledFile> inputs, InputPlace place);
  Result<void> MergeWithoutStaged(Level level, std::span<const LeveledFile> inputs,
                                  const Error& error);
  void SkipDamaged(Level level, std::span<const LeveledFile> inputs, const Error& error);
  Result<bool> Retain(WakeTime& next);
  Result<void> DeleteRetired();
  WakeTime At(WallTime due, WallTime wall, MonotonicTime now) const;

  Destination& destination_;
  CutSource& source_;
  DestinationEvents& events_;
  const Environment environment_;
  runtime::RateLimitedLog errors_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> healthy_{true};

  Backoff backoff_;
  ClockGuard clock_guard_;
  StrayWatch strays_;
  std::uint64_t compared_epoch_ = 0;
  // Files that begin at or before this cannot be merged; a snapshot bridges them.
  std::array<Txid, kLevelCount> floor_{};
  std::vector<LeveledFile> retired_;  // out of the manifest, perhaps still in the store
  std::uint64_t retired_in_ = 0;      // the epoch in which they were
};

}  // namespace runnel::replicate
