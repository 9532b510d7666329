// The replicas of one database: what brings its cuts to all of them, and tells when they are there.
//
//   (1) Each destination has its own position and its own troubles; none waits for another.
//   (2) TXIDs are shared. A destination that is ahead of the local history, or that somebody else
//       wrote to, makes the next cut a full copy past its newest txid; one that cannot be continued
//       cut by cut gets a snapshot.
//   (3) The local history begins (AdoptHistory) once every destination has said what it has, or,
//       if one does not answer, kSettleWait after the start with those that have.
//   (4) A cut stays staged until every destination has it, except those that are fenced, and those
//       that are left behind: while what is staged for the one that is furthest behind exceeds the
//       limit, by more than the cut that it is at, its cuts are given up; it gets a snapshot
//       (docs/decisions/0006).
//   (5) A database at rest makes no request and sets no timer, once all is compacted.

#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/mutex.h"
#include "replicate/claim.h"
#include "replicate/cut_source.h"
#include "replicate/destination.h"
#include "replicate/events.h"
#include "replicate/maintainer.h"
#include "replicate/prover.h"
#include "replicate/settings.h"
#include "replicate/snapshotter.h"
#include "replicate/uploader.h"
#include "runtime/scheduler.h"
#include "store/layout.h"
#include "store/object_store.h"

namespace runnel::replicate {

// Where a replica is to be. The store outlives the set.
struct DestinationTarget {
  DestinationSettings settings;
  store::ObjectStore* store = nullptr;
  store::ReplicaLayout layout;
};

// Thread-safe.
class ReplicaSet final : private DestinationEvents {
 public:
  static constexpr std::chrono::seconds kSettleWait{60};

  // `source` and what `environment` names outlive the set.
  ReplicaSet(std::vector<DestinationTarget> targets, CutSource& source,
             const ClaimIdentity& identity, const LocalFiles& local,
             const Environment& environment);
  ~ReplicaSet() override;

  void Start();
  // Ends all work, soon but whole: what is not uploaded stays staged. Idempotent.
  void Stop();

  // A cut became durable on the local disk, or capture's state changed. Cheap.
  void OnCut();

  // The newest txid that all required destinations hold (all, if none is required).
  Txid durable_txid() const;

  // Calls `done` once, from a worker thread or before this returns, when durable_txid() has reached
  // `txid`; uploads do not wait for the sync interval. Returns a number for CancelWait().
  std::uint64_t WaitDurable(Txid txid, std::function<void()> done);
  // `done` is not called after this returns, unless a call is going on.
  void CancelWait(std::uint64_t wait);

  std::vector<DestinationStatus> status() const;

 private:
  struct Replica {
    std::unique_ptr<Destination> destination;
    std::unique_ptr<Uploader> uploader;
    std::unique_ptr<Maintainer> maintainer;
    std::unique_ptr<Prover> prover;  // none where nothing is read back
    std::optional<Txid> reported;    // its newest txid when it connected; guarded by mutex_
    // Cuts up to here are not kept for it, until it has more than that. Guarded by mutex_.
    std::optional<Txid> left_behind;
    runtime::JobHandle upload_job;
    runtime::JobHandle maintain_job;
    runtime::JobHandle prove_job;
  };

  struct Wait {
    Txid txid;
    std::function<void()> done;
  };

  Result<std::optional<MonotonicTime>> OnConnected(Destination& destination, Txid newest) override;
  void OnStored(Destination& destination) override;
  void OnSnapshotNeeded() override;

  Replica& ReplicaOf(const Destination& destination);
  std::optional<Txid> SettledNewest(MonotonicTime now) const RUNNEL_REQUIRES(mutex_);
  void MendNewest(const Destination& destination);
  // What cuts are kept for, beside uploads.
  enum class KeepFor : std::uint8_t { kUpload, kCompaction };

  void ReleaseStaged();
  void BoundStaging();
  void Release(Txid last);
  Replica* FurthestBehind() RUNNEL_REQUIRES(mutex_);
  std::uint64_t StagedFor(const Replica& replica) const RUNNEL_REQUIRES(mutex_);
  Txid NeededFrom(const Replica& replica, KeepFor keep) const RUNNEL_REQUIRES(mutex_);
  std::optional<Txid> NeededFromByAll(KeepFor keep) RUNNEL_REQUIRES(mutex_);
  void AnswerWaits();

  CutSource& source_;
  const Environment environment_;
  const std::uint64_t max_staging_bytes_;
  std::vector<std::unique_ptr<Replica>> replicas_;
  std::unique_ptr<Snapshotter> snapshotter_;

  mutable Mutex mutex_;  // guards reported and left_behind of each replica too
  MonotonicTime settle_until_ RUNNEL_GUARDED_BY(mutex_){};
  std::uint64_t next_wait_ RUNNEL_GUARDED_BY(mutex_) = 1;
  std::map<std::uint64_t, Wait> waits_ RUNNEL_GUARDED_BY(mutex_);
  Txid released_ RUNNEL_GUARDED_BY(mutex_){};
  Txid bounded_at_ RUNNEL_GUARDED_BY(mutex_){};  // the newest cut when the bound was looked at

  runtime::JobHandle snapshot_job_;  // last: stopped first
};

}  // namespace runnel::replicate
