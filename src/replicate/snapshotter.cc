#include "replicate/snapshotter.h"

#include <algorithm>
#include <utility>

#include "replicate/merge_inputs.h"
#include "replicate/schedule.h"

namespace runnel::replicate {
namespace {

constexpr std::uint64_t kScanBytesPerRun = std::uint64_t{4} << 20;
constexpr std::chrono::hours kWaitMax{24};

}  // namespace

Snapshotter::Snapshotter(std::vector<Destination*> destinations, CutSource& source,
                         DestinationEvents& events, const LocalFiles& local,
                         const Environment& environment)
    : source_(source),
      events_(events),
      local_(local),
      environment_(environment),
      errors_(environment.log, environment.clock),
      backoff_(std::chrono::seconds(1)) {
  for (Destination* destination : destinations) {
    targets_.push_back({destination, Backoff(std::chrono::seconds(1))});
  }
}

std::optional<MonotonicTime> Snapshotter::Run() {
  const MonotonicTime now = environment_.clock.MonotonicNow();
  if (const auto until = backoff_.until(); until && now < *until) return until;
  auto next = Step(now);
  if (next) return *next;
  Reset();
  if (next.error().code() == Errc::kCancelled) return std::nullopt;
  errors_.Log(next.error().code() == Errc::kBusy ? LogLevel::kDebug : LogLevel::kWarn,
              "snapshot failed, trying again", "folder", local_.spool_folder.string(),
              next.error());
  return backoff_.Failed(environment_.clock.MonotonicNow(), environment_.random);
}

void Snapshotter::Reset() {
  phase_ = Phase::kIdle;
  chosen_.clear();
  maker_.reset();
}

Result<WakeTime> Snapshotter::Step(MonotonicTime now) {
  switch (phase_) {
    case Phase::kIdle: return Choose(now);
    case Phase::kScanning: {
      RUNNEL_TRY(const bool more, maker_->Scan(kScanBytesPerRun));
      if (!more) phase_ = Phase::kAwaitingCut;
      return now;
    }
    case Phase::kAwaitingCut: {
      RUNNEL_TRY(const bool there, maker_->AwaitCut());
      if (!there) return std::nullopt;
      RUNNEL_TRY_VOID(maker_->Condense(stop_));
      phase_ = Phase::kStoring;
      return now;
    }
    case Phase::kStoring: return StoreNext(now);
  }
  std::unreachable();
}

bool Snapshotter::IsDue(Target& target, MonotonicTime now, WakeTime& next) const {
  const Destination& destination = *target.destination;
  const DestinationState state = destination.state();
  if (state == DestinationState::kConnecting || state == DestinationState::kFenced) return false;
  const auto newest = source_.staging().newest();
  if (!newest) return false;
  if (const auto until = target.backoff.until(); until && now < *until) {
    Earlier(next, *until);
    return false;
  }
  if (const auto need = destination.snapshot_need()) return newest->txid > need->beyond;
  const WallTime made_at = destination.snapshot_made_at();
  const auto due = destination.WithManifest([&](const Manifest& manifest) {
    return SnapshotDue(manifest, destination.settings().snapshot_interval, made_at);
  });
  if (!due) return false;
  const WallTime wall = environment_.clock.Now();
  if (*due <= wall) return true;
  Earlier(next, now + std::min<std::chrono::nanoseconds>(*due - wall, kWaitMax));
  return false;
}

Result<WakeTime> Snapshotter::Choose(MonotonicTime now) {
  WakeTime next;
  for (Target& target : targets_) {
    if (!IsDue(target, now, next)) continue;
    // A scan of the whole database is no use to one that does not answer.
    if (auto answers = target.destination->EnsureClaimed(); answers) {
      chosen_.push_back(&target);
    } else if (answers.error().code() != Errc::kFenced) {
      TargetFailed(target, answers.error());
      Earlier(next, *target.backoff.until());
    }
  }
  if (chosen_.empty()) return next;
  RUNNEL_TRY_VOID(BeginChosen());
  return now;
}

// The first cut that a destination lacks, if it has every page and is not to be had any other way.
std::optional<Txid> Snapshotter::FindFullCopy(const Destination& destination) const {
  const auto need = destination.snapshot_need();
  if (!need || need->urgency != SnapshotUrgency::kBlocksUploads) return std::nullopt;
  const auto staged = source_.staging().files();
  const auto first = std::ranges::upper_bound(staged, need->beyond, {}, &capture::StagedCut::txid);
  if (first == staged.end()) return std::nullopt;
  const auto summary = source_.staging().Summary(first->txid);
  if (!summary || !summary->header.HoldsAllPages()) return std::nullopt;
  return first->txid;
}

Result<void> Snapshotter::BeginChosen() {
  if (const auto full_copy = FindFullCopy(*chosen_.front()->destination)) {
    auto maker = SnapshotMaker::FromFullCopy(source_, *full_copy, local_, environment_);
    if (maker) {
      chosen_.resize(1);
      maker_ = *std::move(maker);
      phase_ = Phase::kAwaitingCut;
      return {};
    }
    // One that rotted is no better at the next try; a scan does without it.
    if (maker.error().code() != Errc::kCorruption) return Fail(std::move(maker).error());
    errors_.Log(LogLevel::kWarn, "a staged full copy is damaged, the database is scanned", "txid",
                FormatTxid(*full_copy), maker.error());
  }
  auto maker = SnapshotMaker::Begin(source_, local_, environment_);
  if (maker) {
    maker_ = *std::move(maker);
    phase_ = Phase::kScanning;
    return {};
  }
  if (maker.error().code() != Errc::kNoSpace) return Fail(std::move(maker).error());
  errors_.Log(LogLevel::kWarn, "no room for a scan: snapshots are merged from the replica itself",
              "folder", local_.spool_folder.string(), maker.error());
  // A replica that is damaged or not ours cannot be merged from itself.
  std::erase_if(chosen_, [](const Target* target) {
    return target->destination->snapshot_need().has_value();
  });
  if (chosen_.empty()) return Fail(std::move(maker).error());
  phase_ = Phase::kStoring;
  return {};
}

// What a snapshot shows is uploaded first, so that all of it is known to whoever takes the replica
// over; unless it takes the place of cuts that are gone.
bool Snapshotter::MayStore(const Target& target) const {
  return !maker_ || target.destination->state() != DestinationState::kReplicating ||
         target.destination->position() >= maker_->txid();
}

Result<WakeTime> Snapshotter::StoreNext(MonotonicTime now) {
  if (chosen_.empty()) {
    // Not before: a scan that began well is none that ended.
    backoff_.Succeeded();
    Reset();
    return now;
  }
  const auto ready =
      std::ranges::find_if(chosen_, [&](const Target* target) { return MayStore(*target); });
  if (ready == chosen_.end()) {
    // The scan keeps the cuts since, which are not to fill the disk for one that does not answer.
    if (source_.staging().total_bytes() <= local_.max_staging_bytes) return std::nullopt;
    return Fail(Errc::kUnavailable, "the cuts of a snapshot are not uploaded yet");
  }
  Target& target = **ready;
  chosen_.erase(ready);
  Destination& destination = *target.destination;
  auto stored = destination.EnsureClaimed();
  if (stored) stored = destination.SettleDoubtful(kLevelSnapshot);
  if (stored) {
    stored = maker_ ? maker_->Store(destination, stop_) : SnapshotFromStore(destination);
  }
  if (stored) {
    target.backoff.Succeeded();
    events_.OnStored(destination);
  } else if (stored.error().code() == Errc::kCancelled) {
    return Fail(std::move(stored).error());
  } else if (stored.error().code() != Errc::kFenced) {
    TargetFailed(target, stored.error());
  }
  return now;
}

Result<void> Snapshotter::SnapshotFromStore(Destination& destination) {
  const auto path = destination.WithManifest(
      [](const Manifest& manifest) { return manifest.PathTo(Txid{~std::uint64_t{0}}); });
  if (path.empty()) return Fail(Errc::kCorruption, "nothing can be restored from the replica");
  RUNNEL_TRY(const ltx::Header last, ReadHeaderOf(destination, path.back(), source_.staging()));
  RUNNEL_TRY(const MergeInputs inputs, MergeInputs::Open(destination, path, source_.staging()));
  RUNNEL_TRY_VOID(destination.PutMerged(kLevelSnapshot,
                                        {.min = Txid{1}, .max = path.back().file.range.max},
                                        last.timestamp, inputs.sources(), std::nullopt, stop_));
  return {};
}

void Snapshotter::TargetFailed(Target& target, const Error& error) {
  target.destination->NoteError(error);
  errors_.Log(LogLevel::kWarn, "snapshot failed, trying again", "destination",
              target.destination->settings().name, error);
  (void)target.backoff.Failed(environment_.clock.MonotonicNow(), environment_.random);
}

}  // namespace runnel::replicate
