// What is due when: compaction, snapshots and retention, from a manifest and the clock. Pure.

#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "replicate/manifest.h"
#include "replicate/settings.h"

namespace runnel::replicate {

// The first multiple of `interval` (above 0) since the epoch that is after `time`.
WallTime NextSlot(WallTime time, Milliseconds interval);

struct CompactionLimits {
  std::size_t inputs_max = 128;
  std::uint64_t bytes_max = std::uint64_t{256} << 20;
};

// The next files of the level below that are to become one file of `level`: consecutive, not in
// `level` yet, none that begins at or before `floor`. Empty if there is nothing new. A single file
// may be larger than the limits.
std::vector<ReplicaFile> NextCompaction(const Manifest& manifest, Level level, Txid floor,
                                        const CompactionLimits& limits = {});

// When those are due: at the slot after the oldest of them.
std::optional<WallTime> CompactionDue(const Manifest& manifest, Level level, Milliseconds interval,
                                      Txid floor);

// When the next snapshot is due: at the slot after the newest one (of which `made_at` is when this
// process made it), or after the oldest file if that is a full copy. Nothing if nothing changed.
std::optional<WallTime> SnapshotDue(const Manifest& manifest, Milliseconds interval,
                                    WallTime made_at);

struct RetentionPlan {
  std::vector<LeveledFile> deletions;
  std::optional<WallTime> next;  // when age alone makes more of them
};

// Litestream's rules but for three: the newest snapshot past the retention stays too, so that every
// time within it can be restored; an L0 object stays until level 1 has it; `epoch_first` stays, and
// while there is none every L0 object. (docs/formats/store-layout.md, "Retention")
RetentionPlan PlanRetention(const Manifest& manifest, const DestinationSettings& settings,
                            std::optional<Txid> epoch_first, WallTime now);

}  // namespace runnel::replicate
