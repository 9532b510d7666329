// One replica of one database: what it holds, whose it is, and the writes that change it.
//
//             Connect()                     a cut does not follow what is there
//   kConnecting ------> kReplicating  ------------------------------> kNeedsSnapshot
//        ^                 |    ^                                          |
//        |   our name is   |    |  SnapshotStored()                        |
//        +-- taken, but ---+    +------------------------------------------+
//            the claim is ours           the claim is another's: kFenced, for good
//
//   (1) An L0 object is created, never replaced (where the store can do that): of two writers one
//       meets the other's object and stops, or starts over from what is there.
//   (2) Uploads are in the order of txids, one after the other: no gap is ever visible in L0,
//       except behind a snapshot that holds all that lies before it.
//   (3) Nothing is listed after Connect(): the manifest is kept by what is written here.
//   (4) A merged object is created after the claim was seen to be ours, and is nothing new: all of
//       it is in the replica already, but for a snapshot that takes the place of cuts. What a
//       daemon can add after it lost the claim does therefore no harm, or is swept
//       (docs/decisions/0007).

#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/byte_stream.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "base/result.h"
#include "capture/staging.h"
#include "fs/file_system.h"
#include "ltx/format.h"
#include "ltx/merge.h"
#include "replicate/claim.h"
#include "replicate/manifest.h"
#include "replicate/replica_link.h"
#include "replicate/settings.h"
#include "store/layout.h"
#include "store/object_store.h"

namespace runnel::replicate {

enum class DestinationState : std::uint8_t { kConnecting, kReplicating, kNeedsSnapshot, kFenced };

std::string_view DestinationStateName(DestinationState state);

// Totals since the start; they only grow.
struct DestinationCounters {
  std::uint64_t cuts_uploaded = 0;
  std::uint64_t files_compacted = 0;  // written at level 1..8
  std::uint64_t snapshots = 0;
  std::uint64_t bytes_uploaded = 0;
  std::uint64_t objects_deleted = 0;
  std::uint64_t errors = 0;
};

struct DestinationStatus {
  DestinationState state = DestinationState::kConnecting;
  std::optional<Error> error;  // of the last try; kFenced for good
  std::string snapshot_reason;
  Txid position{};  // newest txid that can be restored from it
  Txid durable{};   // newest of our own txids that can be
  Txid proven{};    // at which it was the same as the live database, page by page
  std::uint64_t epoch = 0;
  std::uint64_t file_count = 0;
  std::uint64_t total_bytes = 0;
  DestinationCounters counters;
};

enum class SnapshotUrgency : std::uint8_t {
  kSoon,           // a part of the replica is damaged; uploads go on
  kBlocksUploads,  // the next cut cannot follow what is there
};

struct SnapshotNeed {
  SnapshotUrgency urgency = SnapshotUrgency::kSoon;
  Txid beyond{};  // it has to end after this
  std::string reason;
};

// Thread-safe, except that Connect() and UploadCut() are called by one thread at a time.
class Destination {
 public:
  // `target` and what `environment` names outlive it.
  Destination(DestinationSettings settings, store::ObjectStore& target, store::ReplicaLayout layout,
              ClaimIdentity identity, const LocalFiles& local, const Environment& environment);

  const DestinationSettings& settings() const { return settings_; }
  store::ObjectStore& store() const { return store_; }
  const store::ReplicaLayout& layout() const { return layout_; }
  Claim& claim() { return claim_; }

  // Takes the claim, lists what is there, and finds out whether `staging` continues it. Once the
  // claim was ours it is not taken from another daemon: kFenced. kBusy while a merged object is
  // written, which the listing could miss.
  Result<void> Connect(const capture::Staging& staging);

  // The next cut follows what is there.
  bool Continues(const ltx::Header& cut) const;

  // Uploads the staged cut, and proves it on the way. The answer says what is damaged in the local
  // file: nothing was written then. Errors: kFenced, after which the destination is; kAlreadyExists
  // if another program's object has the name, after which it is kConnecting again.
  Result<std::optional<Error>> UploadCut(Txid txid, const capture::Staging& staging);

  // Merges `inputs` into the object of `range` at `level` (1..9). `timestamp` is the last input's.
  // kUnavailable while the destination is to connect again.
  Result<ltx::Header> PutMerged(Level level, const store::TxidRange& range, WallTime timestamp,
                                std::span<ByteSource* const> inputs,
                                std::optional<DatabaseChecksum> snapshot_checksum,
                                const std::atomic<bool>& stop);

  // Looks what became of files whose writing failed without saying whether they are there. To be
  // called before it is decided what to merge into `level`.
  Result<void> SettleDoubtful(Level level);

  // Takes files out of the manifest, before they are deleted. kInternal, and nothing happens, if
  // that would make the newest state unrestorable.
  Result<void> Retire(std::span<const LeveledFile> files);
  // Deletes objects that were retired, after a look at the claim.
  Result<void> DeleteFiles(std::span<const LeveledFile> files);

  // Before a write that is no fence itself: the claim is still ours, as far as can be known.
  // A kFenced answer fences the destination.
  Result<void> EnsureClaimed();
  // As before a batch of cuts.
  Result<void> EnsureClaimedForBatch();

  // One snapshot answers all that were asked for.
  void RequireSnapshot(const SnapshotNeed& need);
  std::optional<SnapshotNeed> snapshot_need() const;

  // Calls `look` with the manifest, under the lock: it must not call the destination.
  template <class Look>
  auto WithManifest(const Look& look) const {
    const MutexLock lock(mutex_);
    return look(manifest_);
  }

  DestinationState state() const;
  Txid position() const;
  Txid durable() const;
  // No write of ours explains an object of this name, and it ends after all that was listed.
  bool IsStray(Level level, const store::TxidRange& range) const;
  // The first L0 object of this epoch, which is to stay; nothing if there is none yet.
  std::optional<Txid> epoch_first() const;
  // Staged cuts from here on are, byte for byte, what the replica has under their txids.
  Txid staging_valid_from() const;
  WallTime snapshot_made_at() const;
  // Connect() found that the newest object has the txid of a staged cut, but is not that cut.
  bool NewestIsForeign() const;

  // Merged files that were written and not yet read back, one by one.
  std::optional<LeveledFile> TakeUnproven();
  void PutBackUnproven(const LeveledFile& file);
  // The live database was the same as the replica at `txid`.
  void NoteProven(Txid txid);
  Txid proven() const;
  // What is written is to be read back.
  bool IsProven() const { return proof_ == ProofMode::kOn; }

  void NoteError(const Error& error);
  void NoteSuccess();
  DestinationStatus status() const;

 private:
  void SweepUnfinished();
  Result<void> SettleCollision(Txid txid);
  // A write under way: the manifest is to be changed by it.
  class Writing {
   public:
    Writing(Destination& owner, std::list<LeveledFile>::iterator at) : owner_(&owner), at_(at) {}
    Writing(Writing&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)), at_(other.at_) {}
    Writing& operator=(Writing&&) = delete;
    ~Writing();

   private:
    Destination* owner_;
    std::list<LeveledFile>::iterator at_;
  };
  // A merged file whose writing failed without saying whether it is there.
  struct Doubtful {
    Level level{};
    ltx::MergeResult merged;
    store::TxidRange range() const { return {merged.header.min_txid, merged.header.max_txid}; }
  };

  Result<Writing> BeginWriting(const LeveledFile& file);
  Result<void> CommitMerged(Level level, store::ObjectWriter& writer, const store::ObjectKey& key,
                            const ltx::MergeResult& merged);
  Result<void> AcceptOrReplace(const store::ObjectKey& key, const ltx::MergeResult& ours);
  Result<std::optional<Error>> WriteCut(const store::ObjectKey& key,
                                        const capture::CutSummary& summary, fs::File& file,
                                        const capture::Staging& staging);
  Result<void> NoteClaim(Result<void> checked);
  void Fence(const Error& error);
  void CutStored(Txid txid, std::uint64_t size_bytes, const ltx::Header& header);
  void FileStored(Level level, const ReplicaFile& file, const ltx::Header& header);
  store::PutOptions OptionsFor(const store::ObjectKey& key, WallTime timestamp) const;

  const DestinationSettings settings_;
  const ProofMode proof_;  // decided by the store where the settings leave it to it
  store::ObjectStore& store_;
  const store::ReplicaLayout layout_;
  const LocalFiles local_;
  const Environment environment_;
  Claim claim_;

  mutable Mutex mutex_;  // not held during requests
  DestinationState state_ RUNNEL_GUARDED_BY(mutex_) = DestinationState::kConnecting;
  Manifest manifest_ RUNNEL_GUARDED_BY(mutex_);
  Txid position_ RUNNEL_GUARDED_BY(mutex_){};
  Txid durable_ RUNNEL_GUARDED_BY(mutex_){};
  ReplicaLink link_ RUNNEL_GUARDED_BY(mutex_);
  std::optional<Txid> epoch_first_ RUNNEL_GUARDED_BY(mutex_);
  Txid staging_valid_from_ RUNNEL_GUARDED_BY(mutex_){1};
  std::optional<SnapshotNeed> snapshot_need_ RUNNEL_GUARDED_BY(mutex_);
  WallTime snapshot_made_at_ RUNNEL_GUARDED_BY(mutex_){};
  Txid listed_newest_ RUNNEL_GUARDED_BY(mutex_){};  // when we connected
  std::list<LeveledFile> writing_ RUNNEL_GUARDED_BY(mutex_);
  std::vector<Doubtful> doubtful_ RUNNEL_GUARDED_BY(mutex_);
  // Objects that are in the way of ours under their name, and of no use.
  std::map<store::ObjectKey, store::Etag> replaceable_ RUNNEL_GUARDED_BY(mutex_);
  std::vector<LeveledFile> unproven_ RUNNEL_GUARDED_BY(mutex_);
  Txid proven_ RUNNEL_GUARDED_BY(mutex_){};
  std::optional<Error> error_ RUNNEL_GUARDED_BY(mutex_);
  DestinationCounters counters_ RUNNEL_GUARDED_BY(mutex_);
};

}  // namespace runnel::replicate
