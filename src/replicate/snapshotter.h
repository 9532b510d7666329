// Makes the snapshots of one database, for all its destinations from one scan.

#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "replicate/backoff.h"
#include "replicate/cut_source.h"
#include "replicate/destination.h"
#include "replicate/events.h"
#include "replicate/settings.h"
#include "replicate/snapshot_maker.h"
#include "replicate/wake_time.h"
#include "runtime/rate_limited_log.h"
#include "runtime/scheduler.h"

namespace runnel::replicate {

// A job of the bulk pool: a few megabytes of a scan a run, or one merge. Waits for the next slot at
// which a snapshot is due, or for the cut that completes one.
class Snapshotter final : public runtime::Job {
 public:
  // All of it outlives the snapshotter.
  Snapshotter(std::vector<Destination*> destinations, CutSource& source, DestinationEvents& events,
              const LocalFiles& local, const Environment& environment);

  std::optional<MonotonicTime> Run() override;

  // A merge that is going on ends with an error soon.
  void RequestStop() { stop_.store(true, std::memory_order_relaxed); }

 private:
  enum class Phase : std::uint8_t { kIdle, kScanning, kAwaitingCut, kStoring };

  struct Target {
    Destination* destination;
    Backoff backoff;
  };

  Result<WakeTime> Step(MonotonicTime now);
  Result<WakeTime> Choose(MonotonicTime now);
  bool IsDue(Target& target, MonotonicTime now, WakeTime& next) const;
  std::optional<Txid> FindFullCopy(const Destination& destination) const;
  Result<void> BeginChosen();
  bool MayStore(const Target& target) const;
  Result<WakeTime> StoreNext(MonotonicTime now);
  Result<void> SnapshotFromStore(Destination& destination);
  void TargetFailed(Target& target, const Error& error);
  void Reset();

  std::vector<Target> targets_;
  CutSource& source_;
  DestinationEvents& events_;
  const LocalFiles local_;
  const Environment environment_;
  runtime::RateLimitedLog errors_;
  std::atomic<bool> stop_{false};

  Phase phase_ = Phase::kIdle;
  Backoff backoff_;
  std::vector<Target*> chosen_;           // to be stored
  std::unique_ptr<SnapshotMaker> maker_;  // none while storing: merged from the store itself
};

}  // namespace runnel::replicate
