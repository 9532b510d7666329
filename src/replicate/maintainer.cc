#include "replicate/maintainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace runnel::replicate {
namespace {

constexpr std::size_t kDeletionsPerBatch = 1000;
constexpr std::chrono::hours kWaitMax{24};

bool MeansDamage(const Error& error) {
  return error.code() == Errc::kCorruption || error.code() == Errc::kNotFound ||
         error.code() == Errc::kInvalidArgument;
}

}  // namespace

Maintainer::Maintainer(Destination& destination, CutSource& source, DestinationEvents& events,
                       const Environment& environment)
    : destination_(destination),
      source_(source),
      events_(events),
      environment_(environment),
      errors_(environment.log, environment.clock),
      backoff_(std::chrono::seconds(1)),
      clock_guard_(std::min<std::chrono::nanoseconds>(destination.settings().snapshot_retention,
                                                      std::chrono::hours(24))),
      strays_(destination, environment) {}

std::optional<MonotonicTime> Maintainer::Run() {
  const MonotonicTime now = environment_.clock.MonotonicNow();
  const DestinationState state = destination_.state();
  if (state == DestinationState::kFenced || state == DestinationState::kConnecting) {
    return std::nullopt;
  }
  if (const auto until = backoff_.until(); until && now < *until) return until;
  auto next = Step(now);
  if (next) {
    if (backoff_.until()) {
      backoff_.Succeeded();
      errors_.Clear();
    }
    healthy_.store(true, std::memory_order_relaxed);
    return *next;
  }
  if (next.error().code() == Errc::kFenced || next.error().code() == Errc::kCancelled) {
    return std::nullopt;
  }
  healthy_.store(false, std::memory_order_relaxed);
  destination_.NoteError(next.error());
  errors_.Log(LogLevel::kWarn, "maintenance failed, trying again", "destination",
              destination_.settings().name, next.error());
  return backoff_.Failed(environment_.clock.MonotonicNow(), environment_.random);
}

WakeTime Maintainer::At(WallTime due, WallTime wall, MonotonicTime now) const {
  // Looked at again at least once a day, so that a clock set back does not stop everything.
  return now + std::clamp<std::chrono::nanoseconds>(due - wall, std::chrono::nanoseconds::zero(),
                                                    kWaitMax);
}

Result<WakeTime> Maintainer::Step(MonotonicTime now) {
  // Listed again since, they are in the manifest as far as they are there.
  if (retired_in_ != destination_.claim().epoch()) retired_.clear();
  if (!retired_.empty()) {
    RUNNEL_TRY_VOID(DeleteRetired());
    return now;
  }
  RUNNEL_TRY(WakeTime next, strays_.Run(now));
  if (const auto level = DueLevel(environment_.clock.Now(), next)) {
    RUNNEL_TRY_VOID(Compact(*level));
    return now;
  }
  RUNNEL_TRY(const bool more, Retain(next));
  return more ? now : next;
}

std::optional<Level> Maintainer::DueLevel(WallTime wall, WakeTime& next) const {
  const MonotonicTime now = environment_.clock.MonotonicNow();
  const auto& intervals = destination_.settings().level_intervals;
  for (std::size_t i = 0; i < intervals.size(); ++i) {
    const Level level{static_cast<std::uint8_t>(i + 1)};
    const auto due = destination_.WithManifest([&](const Manifest& manifest) {
      return CompactionDue(manifest, level, intervals[i], floor_[i + 1]);
    });
    if (!due) continue;
    if (*due <= wall) return level;
    Earlier(next, At(std::min(*due, wall + intervals[i]), wall, now));
  }
  return std::nullopt;
}

Result<void> Maintainer::Compact(Level level) {
  const Level below{static_cast<std::uint8_t>(ToInt(level) - 1)};
  RUNNEL_TRY_VOID(destination_.SettleDoubtful(level));
  const auto run = destination_.WithManifest([&](const Manifest& manifest) {
    return NextCompaction(manifest, level, floor_[static_cast<std::size_t>(ToInt(level))]);
  });
  std::vector<LeveledFile> inputs;
  for (const ReplicaFile& file : run) inputs.push_back({below, file});
  if (inputs.empty()) return {};
  RUNNEL_TRY_VOID(destination_.EnsureClaimed());
  auto merged = Merge(level, inputs, InputPlace::kStagedFirst);
  if (!merged && MeansDamage(merged.error()) && AnyStaged(destination_, inputs)) {
    merged = MergeWithoutStaged(level, inputs, merged.error());
  }
  if (!merged && MeansDamage(merged.error())) {
    SkipDamaged(level, inputs, merged.error());
    return {};
  }
  if (!merged) return merged;
  events_.OnStored(destination_);
  return {};
}

// The damage may be in a local copy, and the replica whole: it was proven when it was uploaded.
Result<void> Maintainer::MergeWithoutStaged(Level level, std::span<const LeveledFile> inputs,
                                            const Error& error) {
  auto merged = Merge(level, inputs, InputPlace::kStore);
  if (!merged) return merged;
  environment_.log.Warn("a staged cut is damaged on the local disk, the replica's own was merged",
                        {{"destination", destination_.settings().name},
                         {"first", inputs.front().file.range.min},
                         {"last", inputs.back().file.range.max},
                         {"error", error}});
  return {};
}

Result<void> Maintainer::Merge(Level level, std::span<const LeveledFile> inputs, InputPlace place) {
  const store::TxidRange range{.min = inputs.front().file.range.min,
                               .max = inputs.back().file.range.max};
  RUNNEL_TRY(const ltx::Header last,
             ReadHeaderOf(destination_, inputs.back(), source_.staging(), place));
  RUNNEL_TRY(const MergeInputs opened,
             MergeInputs::Open(destination_, inputs, source_.staging(), place));
  RUNNEL_TRY_VOID(
      destination_.PutMerged(level, range, last.timestamp, opened.sources(), std::nullopt, stop_));
  return {};
}

// An object that rotted, vanished or does not follow the one before it. Its content is still in
// the database: a snapshot makes the newest state restorable again, and compaction goes on behind.
void Maintainer::SkipDamaged(Level level, std::span<const LeveledFile> inputs, const Error& error) {
  const Txid last = inputs.back().file.range.max;
  floor_[static_cast<std::size_t>(ToInt(level))] = last;
  destination_.NoteError(error);
  environment_.log.Error(
      "the replica is damaged: states within these txids may be lost, a snapshot is made",
      {{"destination", destination_.settings().name},
       {"level", ToInt(level) - 1},
       {"first", inputs.front().file.range.min},
       {"last", last},
       {"error", error}});
  const Txid snapshot = destination_.WithManifest(
      [](const Manifest& manifest) { return manifest.newest(kLevelSnapshot); });
  if (snapshot >= last) return;
  destination_.RequireSnapshot({.urgency = SnapshotUrgency::kSoon,
                                .beyond = Txid{ToInt(last) - 1},
                                .reason = error.message()});
  events_.OnSnapshotNeeded();
}

Result<bool> Maintainer::Retain(WakeTime& next) {
  if (destination_.settings().deletion == DeletionMode::kNever) return false;
  const MonotonicTime now = environment_.clock.MonotonicNow();
  const WallTime wall = environment_.clock.Now();
  const std::optional<Txid> epoch_first = destination_.epoch_first();
  if (const std::uint64_t epoch = destination_.claim().epoch(); epoch != compared_epoch_) {
    compared_epoch_ = epoch;
    clock_guard_.Compare(
        environment_.clock, destination_.WithManifest([](const Manifest& manifest) {
          return manifest.empty() ? std::nullopt : std::optional(manifest.newest_timestamp());
        }));
  }
  const RetentionPlan plan = destination_.WithManifest([&](const Manifest& manifest) {
    return PlanRetention(manifest, destination_.settings(), epoch_first, wall);
  });
  if (plan.next) Earlier(next, At(*plan.next, wall, now));
  if (plan.deletions.empty()) return false;
  if (!clock_guard_.IsTrusted(environment_.clock)) {
    errors_.Log(LogLevel::kWarn, "nothing is deleted by age for now", "destination",
                destination_.settings().name,
                Error(Errc::kUnavailable, "the clock jumped, or is far from the replica's times"));
    Earlier(next, clock_guard_.trusted_at());
    return false;
  }
  RUNNEL_TRY_VOID(destination_.EnsureClaimed());
  RUNNEL_TRY_VOID(destination_.Retire(plan.deletions));
  retired_ = plan.deletions;
  retired_in_ = destination_.claim().epoch();
  return true;
}

Result<void> Maintainer::DeleteRetired() {
  const std::size_t count = std::min(retired_.size(), kDeletionsPerBatch);
  RUNNEL_TRY_VOID(destination_.DeleteFiles(std::span(retired_).first(count)));
  retired_.erase(retired_.begin(), retired_.begin() + static_cast<std::ptrdiff_t>(count));
  return {};
}

}  // namespace runnel::replicate
