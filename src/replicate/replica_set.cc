#include "replicate/replica_set.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "replicate/schedule.h"

namespace runnel::replicate {

ReplicaSet::ReplicaSet(std::vector<DestinationTarget> targets, CutSource& source,
                       const ClaimIdentity& identity, const LocalFiles& local,
                       const Environment& environment)
    : source_(source), environment_(environment), max_staging_bytes_(local.max_staging_bytes) {
  DestinationEvents& events = *this;
  std::vector<Destination*> destinations;
  for (DestinationTarget& target : targets) {
    auto replica = std::make_unique<Replica>();
    replica->destination =
        std::make_unique<Destination>(std::move(target.settings), *target.store,
                                      std::move(target.layout), identity, local, environment);
    Destination& destination = *replica->destination;
    replica->uploader = std::make_unique<Uploader>(destination, source, events, environment);
    replica->maintainer = std::make_unique<Maintainer>(destination, source, events, environment);
    if (destination.IsProven()) {
      replica->prover = std::make_unique<Prover>(destination, source, events, local, environment);
    }
    destinations.push_back(&destination);
    replicas_.push_back(std::move(replica));
  }
  snapshotter_ =
      std::make_unique<Snapshotter>(std::move(destinations), source, events, local, environment);
}

ReplicaSet::~ReplicaSet() { Stop(); }

void ReplicaSet::Start() {
  {
    const auto newest = source_.staging().newest();
    const MutexLock lock(mutex_);
    settle_until_ = environment_.clock.MonotonicNow() + kSettleWait;
    if (newest) bounded_at_ = newest->txid;
  }
  runtime::Scheduler& scheduler = environment_.scheduler;
  for (const auto& replica : replicas_) {
    replica->upload_job = scheduler.Add(*replica->uploader, runtime::Pool::kTransfer);
    replica->maintain_job = scheduler.Add(*replica->maintainer, runtime::Pool::kBulk);
    if (replica->prover) replica->prove_job = scheduler.Add(*replica->prover, runtime::Pool::kBulk);
  }
  snapshot_job_ = scheduler.Add(*snapshotter_, runtime::Pool::kBulk);
  for (const auto& replica : replicas_) replica->upload_job.Wake();
}

void ReplicaSet::Stop() {
  snapshotter_->RequestStop();
  for (const auto& replica : replicas_) replica->maintainer->RequestStop();
  for (const auto& replica : replicas_) {
    replica->upload_job.Stop();
    replica->maintain_job.Stop();
    replica->prove_job.Stop();
  }
  snapshot_job_.Stop();
}

void ReplicaSet::OnCut() {
  for (const auto& replica : replicas_) {
    replica->upload_job.Wake();
    replica->prove_job.Wake();
  }
  snapshot_job_.Wake();
  BoundStaging();
}

ReplicaSet::Replica& ReplicaSet::ReplicaOf(const Destination& destination) {
  const auto at = std::ranges::find_if(
      replicas_, [&](const auto& replica) { return replica->destination.get() == &destination; });
  RUNNEL_CHECK(at != replicas_.end());
  return **at;
}

// The largest txid of all that have reported, once that is enough to begin with.
std::optional<Txid> ReplicaSet::SettledNewest(MonotonicTime now) const {
  Txid newest{};
  bool all = true;
  for (const auto& replica : replicas_) {
    all = all && replica->reported.has_value();
    newest = std::max(newest, replica->reported.value_or(Txid{0}));
  }
  const bool has_history = source_.staging().newest().has_value();
  if (!all && !has_history && now < settle_until_) return std::nullopt;
  return newest;
}

Result<std::optional<MonotonicTime>> ReplicaSet::OnConnected(Destination& destination,
                                                             Txid newest) {
  std::optional<Txid> settled;
  MonotonicTime settle_until{};
  {
    const MutexLock lock(mutex_);
    ReplicaOf(destination).reported = newest;
    settled = SettledNewest(environment_.clock.MonotonicNow());
    settle_until = settle_until_;
  }
  if (!settled) return settle_until;
  // Asked again for each that connects: a later one may be further ahead.
  RUNNEL_TRY_VOID(source_.AdoptHistory(*settled));
  MendNewest(destination);
  for (const auto& replica : replicas_) {
    if (replica->destination.get() == &destination) {
      replica->maintain_job.Wake();
      replica->prove_job.Wake();
    } else if (replica->destination->state() != DestinationState::kConnecting) {
      replica->upload_job.Wake();
    }
  }
  snapshot_job_.Wake();
  AnswerWaits();
  ReleaseStaged();
  return std::nullopt;
}

// The object with the txid of our newest cut is somebody else's, or damaged beyond telling. Behind
// it no cut of ours is missing, so nothing would be sent before the next commit; a cut with every
// page follows anything.
void ReplicaSet::MendNewest(const Destination& destination) {
  const auto newest = source_.staging().newest();
  if (!newest || newest->txid != destination.position()) return;
  const auto need = destination.snapshot_need();
  const bool no_snapshot_will_do = need && need->beyond >= newest->txid;
  if (!no_snapshot_will_do && (need || !destination.NewestIsForeign())) return;
  environment_.log.Warn("the replica's newest object is not ours, all pages are sent",
                        {{"destination", destination.settings().name}, {"txid", newest->txid}});
  source_.CompareAgain(capture::CompareExtent::kEveryPage);
}

void ReplicaSet::OnStored(Destination& destination) {
  Replica& replica = ReplicaOf(destination);
  // A snapshot lets uploads go on, and a new level makes retention possible.
  replica.upload_job.Wake();
  replica.maintain_job.Wake();
  replica.prove_job.Wake();
  snapshot_job_.Wake();
  AnswerWaits();
  ReleaseStaged();
}

void ReplicaSet::OnSnapshotNeeded() { snapshot_job_.Wake(); }

// The first cut that a destination may still read from the staging.
Txid ReplicaSet::NeededFrom(const Replica& replica, KeepFor keep) const {
  const Destination& destination = *replica.destination;
  if (destination.state() == DestinationState::kConnecting) return Txid{1};
  Txid needed = Next(destination.position());
  if (keep == KeepFor::kUpload || !replica.maintainer->healthy() ||
      destination.settings().level_intervals.empty()) {
    return needed;
  }
  const auto next = destination.WithManifest([](const Manifest& manifest) {
    return NextCompaction(manifest, Level{1}, Txid{0}, {.inputs_max = 1, .bytes_max = 0});
  });
  if (!next.empty()) needed = std::min(needed, next.front().range.min);
  return needed;
}

// Nothing if nobody needs any. With mutex_ held.
std::optional<Txid> ReplicaSet::NeededFromByAll(KeepFor keep) {
  std::optional<Txid> needed;
  for (const auto& replica : replicas_) {
    if (replica->destination->state() == DestinationState::kFenced) continue;
    if (replica->left_behind) {
      if (replica->destination->position() < *replica->left_behind) continue;
      replica->left_behind.reset();
    }
    const Txid from = NeededFrom(*replica, keep);
    needed = std::min(needed.value_or(from), from);
  }
  return needed;
}

void ReplicaSet::ReleaseStaged() {
  std::optional<Txid> needed;
  {
    const MutexLock lock(mutex_);
    needed = NeededFromByAll(KeepFor::kCompaction);
  }
  if (needed && *needed > Txid{1}) Release(Txid{ToInt(*needed) - 1});
}

void ReplicaSet::Release(Txid last) {
  {
    const MutexLock lock(mutex_);
    if (last <= released_) return;
    released_ = last;
  }
  source_.ReleaseCuts(last);
}

// Looked at when a cut was made, and only then: the database is there, so that no cut that is
// given up is the last copy of anything.
void ReplicaSet::BoundStaging() {
  const auto newest = source_.staging().newest();
  if (!newest || source_.staging().total_bytes() <= max_staging_bytes_) return;
  std::optional<Txid> needed;
  {
    const MutexLock lock(mutex_);
    if (newest->txid <= bounded_at_) return;
    bounded_at_ = newest->txid;
    needed = NeededFromByAll(KeepFor::kUpload);
    while (Replica* behind = FurthestBehind()) {
      if (StagedFor(*behind) <= max_staging_bytes_) break;
      behind->left_behind = newest->txid;
      environment_.log.Warn(
          "too much is staged for a destination: its cuts are given up, and it gets a snapshot",
          {{"destination", behind->destination->settings().name},
           {"limit_bytes", max_staging_bytes_},
           {"txid", newest->txid}});
      needed = NeededFromByAll(KeepFor::kUpload);
    }
  }
  if (!needed) Release(newest->txid);
  if (needed && *needed > Txid{1}) Release(Txid{ToInt(*needed) - 1});
}

// Of those that cuts are kept for. With mutex_ held, as below.
ReplicaSet::Replica* ReplicaSet::FurthestBehind() {
  Replica* behind = nullptr;
  for (const auto& replica : replicas_) {
    const bool counts =
        !replica->left_behind && replica->destination->state() != DestinationState::kFenced;
    if (counts && (behind == nullptr || NeededFrom(*replica, KeepFor::kUpload) <
                                            NeededFrom(*behind, KeepFor::kUpload))) {
      behind = replica.get();
    }
  }
  return behind;
}

// Without the first, which may be under way, and be the first copy: a snapshot would not be less.
std::uint64_t ReplicaSet::StagedFor(const Replica& replica) const {
  const auto staged = source_.staging().files();
  auto at = std::ranges::lower_bound(staged, NeededFrom(replica, KeepFor::kUpload), {},
                                     &capture::StagedCut::txid);
  if (at != staged.end()) ++at;
  std::uint64_t total = 0;
  for (; at != staged.end(); ++at) total += at->size_bytes;
  return total;
}

Txid ReplicaSet::durable_txid() const {
  const bool any_required = std::ranges::any_of(replicas_, [](const auto& replica) {
    return replica->destination->settings().importance == Importance::kRequired;
  });
  std::optional<Txid> durable;
  for (const auto& replica : replicas_) {
    const Destination& destination = *replica->destination;
    if (any_required && destination.settings().importance != Importance::kRequired) continue;
    const Txid txid = destination.durable();
    durable = std::min(durable.value_or(txid), txid);
  }
  return durable.value_or(Txid{0});
}

std::uint64_t ReplicaSet::WaitDurable(Txid txid, std::function<void()> done) {
  std::uint64_t number = 0;
  {
    const MutexLock lock(mutex_);
    number = next_wait_++;
    waits_.emplace(number, Wait{txid, std::move(done)});
  }
  AnswerWaits();
  for (const auto& replica : replicas_) {
    replica->uploader->Hurry();
    replica->upload_job.Wake();
  }
  return number;
}

void ReplicaSet::CancelWait(std::uint64_t wait) {
  const MutexLock lock(mutex_);
  waits_.erase(wait);
}

void ReplicaSet::AnswerWaits() {
  const Txid durable = durable_txid();
  std::vector<std::function<void()>> answered;
  {
    const MutexLock lock(mutex_);
    for (auto at = waits_.begin(); at != waits_.end();) {
      if (at->second.txid > durable) {
        ++at;
        continue;
      }
      answered.push_back(std::move(at->second.done));
      at = waits_.erase(at);
    }
  }
  for (const auto& done : answered) done();
}

std::vector<DestinationStatus> ReplicaSet::status() const {
  std::vector<DestinationStatus> statuses;
  for (const auto& replica : replicas_) statuses.push_back(replica->destination->status());
  return statuses;
}

}  // namespace runnel::replicate
