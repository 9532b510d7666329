#include "replicate/destination.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "fs/temporary.h"
#include "replicate/own_object.h"
#include "replicate/streams.h"

namespace runnel::replicate {
namespace {

// How long a writer may go on without having seen its claim. It bounds how long a newcomer, whose
// first write is a full copy and slow, can lose the race for the next name.
constexpr std::chrono::seconds kClaimMaxAge{15};

// What nobody has written to for this long, nobody will finish.
constexpr std::chrono::hours kUnfinishedMaxAge{1};

ProofMode Decide(ProofMode wanted, const store::ObjectStore& target) {
  if (wanted != ProofMode::kAutomatic) return wanted;
  return target.capabilities().bills_requests ? ProofMode::kOff : ProofMode::kOn;
}

}  // namespace

std::string_view DestinationStateName(DestinationState state) {
  switch (state) {
    case DestinationState::kConnecting: return "connecting";
    case DestinationState::kReplicating: return "replicating";
    case DestinationState::kNeedsSnapshot: return "needs_snapshot";
    case DestinationState::kFenced: return "fenced";
  }
  std::unreachable();
}

Destination::Destination(DestinationSettings settings, store::ObjectStore& target,
                         store::ReplicaLayout layout, ClaimIdentity identity,
                         const LocalFiles& local, const Environment& environment)
    : settings_(std::move(settings)),
      proof_(Decide(settings_.proof, target)),
      store_(target),
      layout_(std::move(layout)),
      local_(local),
      environment_(environment),
      claim_(target, layout_.ClaimKey(), std::move(identity), environment.clock,
             environment.random) {}

Result<void> Destination::Connect(const capture::Staging& staging) {
  {
    const MutexLock lock(mutex_);
    if (!writing_.empty()) return Fail(Errc::kBusy, "an object is being written or deleted");
  }
  RUNNEL_TRY_VOID(NoteClaim(claim_.epoch() == 0 ? claim_.Take() : claim_.Renew()));
  SweepUnfinished();
  RUNNEL_TRY(Manifest manifest, Manifest::List(store_, layout_));
  const Txid newest = manifest.newest();
  const Txid reach = manifest.reach();
  ReplicaLink link;
  std::optional<SnapshotNeed> need;
  if (reach < newest) {
    // Where the newest object is our own cut, a snapshot of that state will do; a database at rest
    // has no later one.
    if (auto found = FindLink(store_, layout_, manifest, staging)) link = *found;
    need =
        SnapshotNeed{.urgency = SnapshotUrgency::kBlocksUploads,
                     .beyond = link.is_staged ? Txid{ToInt(newest) - 1} : newest,
                     .reason = fmt::format("objects are missing after txid {}", FormatTxid(reach))};
  } else if (newest != Txid{0}) {
    auto found = FindLink(store_, layout_, manifest, staging);
    if (found) {
      link = *found;
    } else if (found.error().code() == Errc::kCorruption) {
      need = SnapshotNeed{.urgency = SnapshotUrgency::kBlocksUploads,
                          .beyond = newest,
                          .reason = found.error().message()};
    } else {
      return Fail(std::move(found).error());
    }
  }
  const MutexLock lock(mutex_);
  if (state_ == DestinationState::kFenced) return Fail(*error_);  // found out by another job
  manifest_ = std::move(manifest);
  position_ = newest;
  listed_newest_ = newest;
  link_ = link;
  durable_ = link.is_staged && !need ? newest : Txid{0};
  staging_valid_from_ = link.is_staged ? Txid{1} : Next(newest);
  epoch_first_.reset();
  state_ = need ? DestinationState::kNeedsSnapshot : DestinationState::kReplicating;
  // What was found damaged is so still: a listing shows only names.
  const bool is_damaged = snapshot_need_ && snapshot_need_->urgency == SnapshotUrgency::kSoon;
  if (need || !is_damaged) snapshot_need_ = std::move(need);
  return {};
}

// Rubbish harms nobody but who pays for the disk: not worth failing for.
void Destination::SweepUnfinished() {
  const WallTime older_than = environment_.clock.Now() - kUnfinishedMaxAge;
  const std::string claim = layout_.ClaimKey().text();
  std::vector<std::string> prefixes = {claim.substr(0, claim.rfind('/') + 1)};
  for (int i = 0; i < kLevelCount; ++i) {
    prefixes.push_back(layout_.LevelPrefix(Level{static_cast<std::uint8_t>(i)}));
  }
  std::size_t count = 0;
  for (const std::string& prefix : prefixes) {
    auto swept = store_.SweepUnfinished(prefix, older_than);
    if (!swept) {
      environment_.log.Warn("unfinished objects of an earlier run cannot be removed",
                            {{"destination", settings_.name}, {"error", swept.error()}});
      return;
    }
    count += *swept;
  }
  if (count == 0) return;
  environment_.log.Info("removed unfinished objects of an earlier run",
                        {{"destination", settings_.name}, {"count", count}});
}

bool Destination::Continues(const ltx::Header& cut) const {
  const MutexLock lock(mutex_);
  if (cut.min_txid != Next(position_)) return false;
  if (cut.HoldsAllPages()) return true;
  if (cut.chain && link_.after) return cut.chain->before == *link_.after;
  // One of the two is Litestream's, which proves nothing: only the same local log will do.
  return link_.is_staged;
}

store::PutOptions Destination::OptionsFor(const store::ObjectKey& key, WallTime timestamp) const {
  store::PutOptions options;
  options.timestamp = timestamp;
  if (!store_.capabilities().conditional_writes) return options;
  const MutexLock lock(mutex_);
  const auto replaced = replaceable_.find(key);
  options.condition = replaced == replaceable_.end()
                          ? store::PutCondition::IfAbsent()
                          : store::PutCondition::IfMatch(replaced->second);
  return options;
}

Result<std::optional<Error>> Destination::WriteCut(const store::ObjectKey& key,
                                                   const capture::CutSummary& summary,
                                                   fs::File& file,
                                                   const capture::Staging& staging) {
  RUNNEL_TRY(auto writer, store_.StartPut(key, OptionsFor(key, summary.header.timestamp)));
  RUNNEL_TRY(auto damage, staging.CopyProven(summary.header.max_txid, file, *writer));
  if (damage) return damage;  // not committed, it never was
  RUNNEL_TRY_VOID(writer->Commit());
  return std::nullopt;
}

Result<std::optional<Error>> Destination::UploadCut(Txid txid, const capture::Staging& staging) {
  RUNNEL_TRY(const capture::CutSummary summary, staging.Summary(txid));
  RUNNEL_TRY(auto file, staging.OpenCut(txid));
  RUNNEL_TRY(const fs::FileInfo info, file->Info());
  const store::ObjectKey key = layout_.LtxKey(kLevelCut, {.min = txid, .max = txid});
  auto written = WriteCut(key, summary, *file, staging);
  if (!written && written.error().code() == Errc::kAlreadyExists) {
    // Ours, if the reply to an earlier try was lost.
    RUNNEL_TRY(const bool ours, HoldsFile(store_, key, *file, info.size_bytes));
    if (!ours) return Fail(SettleCollision(txid).error());
  } else if (!written) {
    return Fail(std::move(written).error().Context(key.text()));
  } else if (*written) {
    return written;
  }
  CutStored(txid, info.size_bytes, summary.header);
  return std::nullopt;
}

// Another writer has made this object. If the claim is ours, it was an earlier holder's last
// write, or a program that knows no claims: what is there now is the history to continue.
Result<void> Destination::SettleCollision(Txid txid) {
  RUNNEL_TRY_VOID(NoteClaim(claim_.Check()));
  {
    const MutexLock lock(mutex_);
    if (state_ == DestinationState::kFenced) return Fail(*error_);
    state_ = DestinationState::kConnecting;
  }
  return Fail(Errc::kAlreadyExists,
              fmt::format("txid {} was written by another program, though the claim is ours; "
                          "starting over from what is there",
                          FormatTxid(txid)));
}

void Destination::CutStored(Txid txid, std::uint64_t size_bytes, const ltx::Header& header) {
  const MutexLock lock(mutex_);
  manifest_.Add(kLevelCut, {{.min = txid, .max = txid}, size_bytes, header.timestamp});
  position_ = std::max(position_, txid);
  durable_ = txid;
  link_ = {.is_staged = true, .is_foreign = false, .after = AfterOf(header)};
  if (!epoch_first_) epoch_first_ = txid;
  ++counters_.cuts_uploaded;
  counters_.bytes_uploaded += size_bytes;
}

Result<void> Destination::Retire(std::span<const LeveledFile> files) {
  const MutexLock lock(mutex_);
  Manifest kept = manifest_;
  for (const LeveledFile& file : files) kept.Remove(file.level, file.file.range);
  if (kept.reach() != manifest_.reach()) {
    return Fail(Errc::kInternal, fmt::format("retention would lose txid {}; nothing is deleted",
                                             FormatTxid(manifest_.reach())));
  }
  manifest_ = std::move(kept);
  return {};
}

Result<void> Destination::DeleteFiles(std::span<const LeveledFile> files) {
  std::vector<store::ObjectKey> keys;
  keys.reserve(files.size());
  for (const LeveledFile& file : files) keys.push_back(layout_.LtxKey(file.level, file.file.range));
  RUNNEL_TRY(const Writing writing, BeginWriting(files.front()));
  RUNNEL_TRY_VOID(NoteClaim(claim_.Check()));
  RUNNEL_TRY_VOID(store_.Delete(keys));
  const MutexLock lock(mutex_);
  counters_.objects_deleted += keys.size();
  return {};
}

Result<void> Destination::NoteClaim(Result<void> checked) {
  if (!checked && checked.error().code() == Errc::kFenced) Fence(checked.error());
  return checked;
}

Result<void> Destination::EnsureClaimed() { return NoteClaim(claim_.CheckIfOlder(kClaimMaxAge)); }

Result<void> Destination::EnsureClaimedForBatch() {
  if (store_.capabilities().conditional_writes) return EnsureClaimed();
  return NoteClaim(claim_.Check());
}

void Destination::Fence(const Error& error) {
  {
    const MutexLock lock(mutex_);
    if (state_ == DestinationState::kFenced) return;
    state_ = DestinationState::kFenced;
    error_ = error;
  }
  environment_.log.Error("fenced: another daemon replicates to this path, nothing more is written",
                         {{"destination", settings_.name}, {"error", error}});
}

void Destination::RequireSnapshot(const SnapshotNeed& need) {
  const MutexLock lock(mutex_);
  if (state_ == DestinationState::kFenced) return;
  const Txid beyond = snapshot_need_ ? std::max(need.beyond, snapshot_need_->beyond) : need.beyond;
  const bool blocks = need.urgency == SnapshotUrgency::kBlocksUploads;
  if (blocks) state_ = DestinationState::kNeedsSnapshot;
  if (blocks || !snapshot_need_) snapshot_need_ = need;
  snapshot_need_->beyond = beyond;
}

std::optional<SnapshotNeed> Destination::snapshot_need() const {
  const MutexLock lock(mutex_);
  return snapshot_need_;
}

DestinationState Destination::state() const {
  const MutexLock lock(mutex_);
  return state_;
}

Txid Destination::position() const {
  const MutexLock lock(mutex_);
  return position_;
}

Txid Destination::durable() const {
  const MutexLock lock(mutex_);
  return durable_;
}

std::optional<Txid> Destination::epoch_first() const {
  const MutexLock lock(mutex_);
  return epoch_first_;
}

Txid Destination::staging_valid_from() const {
  const MutexLock lock(mutex_);
  return staging_valid_from_;
}

WallTime Destination::snapshot_made_at() const {
  const MutexLock lock(mutex_);
  return snapshot_made_at_;
}

bool Destination::NewestIsForeign() const {
  const MutexLock lock(mutex_);
  return link_.is_foreign;
}

std::optional<LeveledFile> Destination::TakeUnproven() {
  const MutexLock lock(mutex_);
  if (unproven_.empty()) return std::nullopt;
  const LeveledFile file = unproven_.back();
  unproven_.pop_back();
  return file;
}

void Destination::PutBackUnproven(const LeveledFile& file) {
  const MutexLock lock(mutex_);
  unproven_.push_back(file);
}

void Destination::NoteProven(Txid txid) {
  const MutexLock lock(mutex_);
  proven_ = txid;
}

Txid Destination::proven() const {
  const MutexLock lock(mutex_);
  return proven_;
}

void Destination::NoteError(const Error& error) {
  const MutexLock lock(mutex_);
  ++counters_.errors;
  if (state_ != DestinationState::kFenced) error_ = error;
}

void Destination::NoteSuccess() {
  const MutexLock lock(mutex_);
  if (state_ != DestinationState::kFenced) error_.reset();
}

DestinationStatus Destination::status() const {
  const std::uint64_t epoch = claim_.epoch();
  const MutexLock lock(mutex_);
  return {.state = state_,
          .error = error_,
          .snapshot_reason = snapshot_need_ ? snapshot_need_->reason : std::string(),
          .position = position_,
          .durable = durable_,
          .proven = proven_,
          .epoch = epoch,
          .file_count = manifest_.file_count(),
          .total_bytes = manifest_.total_bytes(),
          .counters = counters_};
}

}  // namespace runnel::replicate
