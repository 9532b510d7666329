#include "replicate/schedule.h"

#include <algorithm>

#include "base/check.h"

namespace runnel::replicate {
namespace {

constexpr Level kLevelFirstCompacted{1};

Level Below(Level level) { return Level{static_cast<std::uint8_t>(ToInt(level) - 1)}; }

struct SnapshotRetention {
  std::vector<ReplicaFile> expired;
  Txid floor{};  // levels need not reach back before this
  std::optional<WallTime> next;
};

// A snapshot goes once the next one is past the retention: until then it is what restores of the
// oldest times that are promised begin with.
SnapshotRetention PlanSnapshots(const Manifest& manifest, Milliseconds retention, WallTime now) {
  SnapshotRetention plan;
  std::vector<ReplicaFile> snapshots = manifest.files(kLevelSnapshot);
  std::ranges::sort(snapshots, {}, [](const ReplicaFile& file) { return file.range.max; });
  for (std::size_t i = 1; i < snapshots.size(); ++i) {
    const WallTime due = snapshots[i].timestamp + retention + Milliseconds(1);
    if (due > now) {
      plan.next = due;
      return plan;
    }
    plan.expired.push_back(snapshots[i - 1]);
    plan.floor = snapshots[i - 1].range.max;
  }
  return plan;
}

void PlanLevels(const Manifest& manifest, Txid floor, RetentionPlan& plan) {
  for (int i = ToInt(kLevelFirstCompacted); i < ToInt(kLevelSnapshot); ++i) {
    const Level level{static_cast<std::uint8_t>(i)};
    const Txid newest = manifest.newest(level);
    for (const ReplicaFile& file : manifest.files(level)) {
      if (file.range.max < floor && file.range.max != newest)
        plan.deletions.push_back({level, file});
    }
  }
}

void PlanCuts(const Manifest& manifest, const DestinationSettings& settings, Txid epoch_first,
              Txid floor, WallTime now, RetentionPlan& plan) {
  const Txid newest = manifest.newest(kLevelCut);
  for (const ReplicaFile& file : manifest.files(kLevelCut)) {
    const Txid txid = file.range.max;
    if (txid == newest || txid == epoch_first) continue;
    // Not covered yet: compaction will look here again.
    if (txid >= floor && !manifest.Covers(kLevelFirstCompacted, txid)) continue;
    if (file.timestamp < now - settings.l0_retention) {
      plan.deletions.push_back({kLevelCut, file});
      continue;
    }
    const WallTime due = file.timestamp + settings.l0_retention + Milliseconds(1);
    plan.next = std::min(plan.next.value_or(due), due);
    return;  // the younger ones have their time later
  }
}

}  // namespace

WallTime NextSlot(WallTime time, Milliseconds interval) {
  RUNNEL_CHECK(interval > Milliseconds::zero());
  const auto count = time.time_since_epoch() / interval;
  return WallTime((count + 1) * interval);
}

std::vector<ReplicaFile> NextCompaction(const Manifest& manifest, Level level, Txid floor,
                                        const CompactionLimits& limits) {
  std::vector<ReplicaFile> run;
  Txid end = manifest.newest(level);
  std::uint64_t bytes = 0;
  for (const ReplicaFile& file : manifest.files(Below(level))) {
    if (file.range.max <= end || file.range.min <= floor) continue;
    if (!run.empty()) {
      const bool is_gap = file.range.min > Next(end);
      const bool is_full =
          run.size() >= limits.inputs_max || bytes + file.size_bytes > limits.bytes_max;
      if (is_gap || is_full) break;
    }
    run.push_back(file);
    bytes += file.size_bytes;
    end = file.range.max;
  }
  return run;
}

std::optional<WallTime> CompactionDue(const Manifest& manifest, Level level, Milliseconds interval,
                                      Txid floor) {
  const auto run = NextCompaction(manifest, level, floor, {.inputs_max = 1, .bytes_max = 0});
  if (run.empty()) return std::nullopt;
  return NextSlot(run.front().timestamp, interval);
}

std::optional<WallTime> SnapshotDue(const Manifest& manifest, Milliseconds interval,
                                    WallTime made_at) {
  if (interval == Milliseconds::zero()) return std::nullopt;
  const Txid newest = manifest.newest();
  if (newest == Txid{0} || newest <= manifest.newest(kLevelSnapshot)) return std::nullopt;
  std::optional<WallTime> last;
  for (const ReplicaFile& file : manifest.files(kLevelSnapshot)) {
    last = std::max(last.value_or(file.timestamp), file.timestamp);
  }
  for (int i = 0; i < ToInt(kLevelSnapshot) && !last; ++i) {
    const auto& files = manifest.files(Level{static_cast<std::uint8_t>(i)});
    if (!files.empty() && files.front().range.min == Txid{1}) last = files.front().timestamp;
  }
  // Nothing to begin a restore with, or nothing whose age is known.
  if (!last) return WallTime{};
  return NextSlot(std::max(*last, made_at), interval);
}

RetentionPlan PlanRetention(const Manifest& manifest, const DestinationSettings& settings,
                            std::optional<Txid> epoch_first, WallTime now) {
  RetentionPlan plan;
  SnapshotRetention snapshots = PlanSnapshots(manifest, settings.snapshot_retention, now);
  plan.next = snapshots.next;
  // What depends on a snapshot goes before it, so that what a crash leaves is found again.
  PlanLevels(manifest, snapshots.floor, plan);
  if (settings.l0_retention > Milliseconds::zero() && epoch_first) {
    PlanCuts(manifest, settings, *epoch_first, snapshots.floor, now, plan);
  }
  for (const ReplicaFile& file : snapshots.expired)
    plan.deletions.push_back({kLevelSnapshot, file});
  return plan;
}

}  // namespace runnel::replicate
