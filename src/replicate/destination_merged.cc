// The part of Destination that writes merged objects: compactions and snapshots.

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "fs/temporary.h"
#include "replicate/destination.h"
#include "replicate/own_object.h"
#include "replicate/streams.h"

namespace runnel::replicate {

Destination::Writing::~Writing() {
  if (owner_ == nullptr) return;
  const MutexLock lock(owner_->mutex_);
  owner_->writing_.erase(at_);
}

Result<Destination::Writing> Destination::BeginWriting(const LeveledFile& file) {
  const MutexLock lock(mutex_);
  if (state_ == DestinationState::kFenced) return Fail(*error_);
  if (state_ == DestinationState::kConnecting) {
    return Fail(Errc::kUnavailable, "what the replica holds is to be listed first");
  }
  return Writing(*this, writing_.insert(writing_.end(), file));
}

Result<ltx::Header> Destination::PutMerged(Level level, const store::TxidRange& range,
                                           WallTime timestamp, std::span<ByteSource* const> inputs,
                                           std::optional<DatabaseChecksum> snapshot_checksum,
                                           const std::atomic<bool>& stop) {
  RUNNEL_TRY(const Writing writing, BeginWriting({level, {range, 0, timestamp}}));
  const store::ObjectKey key = layout_.LtxKey(level, range);
  RUNNEL_TRY(auto writer, store_.StartPut(key, OptionsFor(key, timestamp)));
  StoppableSink sink(*writer, stop);
  // Missing, it would look like a missing input.
  RUNNEL_TRY_VOID(environment_.fs.CreateDirectories(local_.spool_folder, local_.ownership));
  const fs::Path spill =
      fs::UniqueTemporaryPath(local_.spool_folder / "index", environment_.random);
  RUNNEL_TRY(const ltx::MergeResult merged,
             ltx::Merge(inputs, sink,
                        {.encoder = {.encoding = local_.encoding},
                         .index_spool = capture::MakeSpillingIndexSpool(environment_.fs, spill,
                                                                        local_.ownership),
                         .snapshot_checksum = snapshot_checksum}));
  if (merged.header.min_txid != range.min || merged.header.max_txid != range.max) {
    return Fail(Errc::kCorruption, key.text() + ": the inputs hold other txids than their names");
  }
  RUNNEL_TRY_VOID(CommitMerged(level, *writer, key, merged));
  FileStored(level, {range, merged.size_bytes, merged.header.timestamp}, merged.header);
  return merged.header;
}

// A merge takes its time, and a daemon may be stopped in the middle of it: the claim is read once
// more when there is nothing left to do but to commit.
Result<void> Destination::CommitMerged(Level level, store::ObjectWriter& writer,
                                       const store::ObjectKey& key,
                                       const ltx::MergeResult& merged) {
  RUNNEL_TRY_VOID(NoteClaim(claim_.Check()));
  auto committed = writer.Commit();
  if (!committed && committed.error().code() == Errc::kAlreadyExists) {
    return AcceptOrReplace(key, merged);
  }
  const MutexLock lock(mutex_);
  replaceable_.erase(key);
  if (committed) return {};
  if (committed.error().code() != Errc::kPreconditionFailed) doubtful_.push_back({level, merged});
  return Fail(std::move(committed).error().Context(key.text()));
}

// The next try is often of a longer range: what the last one may have left is to be known by then.
// Nothing is deleted here: somebody else may rely on it by now.
Result<void> Destination::SettleDoubtful(Level level) {
  std::vector<Doubtful> doubtful;
  {
    const MutexLock lock(mutex_);
    std::ranges::copy_if(doubtful_, std::back_inserter(doubtful),
                         [&](const Doubtful& file) { return file.level == level; });
  }
  for (const Doubtful& file : doubtful) {
    RUNNEL_TRY(const Writing writing, BeginWriting({level, {file.range(), 0, {}}}));
    auto there = HoldsMerge(store_, layout_.LtxKey(level, file.range()), file.merged);
    if (!there && there.error().code() != Errc::kNotFound) return Fail(std::move(there).error());
    if (there.value_or(false)) {
      FileStored(level, {file.range(), file.merged.size_bytes, file.merged.header.timestamp},
                 file.merged.header);
    }
    const MutexLock lock(mutex_);
    std::erase_if(doubtful_, [&](const Doubtful& other) {
      return other.level == level && other.range() == file.range();
    });
  }
  return {};
}

// The same merge of the same files gives the same bytes: an object with our file checksum is our
// own earlier try. Another one is of no use to anybody: what it should hold is in the inputs. It is
// replaced, not deleted and written anew, so that nothing is missing meanwhile.
Result<void> Destination::AcceptOrReplace(const store::ObjectKey& key,
                                          const ltx::MergeResult& ours) {
  RUNNEL_TRY(const store::ObjectInfo info, store_.Head(key));
  RUNNEL_TRY(const bool same, HoldsMerge(store_, key, ours));
  if (same) return {};
  const MutexLock lock(mutex_);
  replaceable_[key] = info.etag;
  return Fail(Errc::kUnavailable,
              key.text() + " is there with another content; the next try replaces it");
}

void Destination::FileStored(Level level, const ReplicaFile& file, const ltx::Header& header) {
  const MutexLock lock(mutex_);
  manifest_.Add(level, file);
  std::erase_if(doubtful_, [&](const Doubtful& doubtful) {
    return doubtful.level == level && doubtful.range() == file.range;
  });
  if (proof_ == ProofMode::kOn) unproven_.push_back({level, file});
  counters_.bytes_uploaded += file.size_bytes;
  if (level != kLevelSnapshot) {
    ++counters_.files_compacted;
    return;
  }
  ++counters_.snapshots;
  snapshot_made_at_ = environment_.clock.Now();
  if (!snapshot_need_ || file.range.max <= snapshot_need_->beyond) return;
  if (snapshot_need_->urgency == SnapshotUrgency::kBlocksUploads) {
    position_ = std::max(position_, file.range.max);
    durable_ = file.range.max;
    link_ = {.is_staged = true, .is_foreign = false, .after = AfterOf(header)};
    staging_valid_from_ = Next(file.range.max);
    claim_.Doubt();  // the next name may be past the newcomer's first, which would stop us
    if (state_ == DestinationState::kNeedsSnapshot) state_ = DestinationState::kReplicating;
  }
  snapshot_need_.reset();
}

bool Destination::IsStray(Level level, const store::TxidRange& range) const {
  const MutexLock lock(mutex_);
  const auto is_that = [&](const LeveledFile& file) {
    return file.level == level && file.file.range == range;
  };
  const auto may_be_that = [&](const Doubtful& file) {
    return file.level == level && file.range() == range;
  };
  return range.max > listed_newest_ && !manifest_.Find(level, range) &&
         std::ranges::none_of(writing_, is_that) && std::ranges::none_of(doubtful_, may_be_that);
}

}  // namespace runnel::replicate
