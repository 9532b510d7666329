#include "replicate/uploader.h"

#include <fmt/format.h>

#include <utility>

namespace runnel::replicate {

Uploader::Uploader(Destination& destination, CutSource& source, DestinationEvents& events,
                   const Environment& environment)
    : destination_(destination),
      source_(source),
      events_(events),
      environment_(environment),
      errors_(environment.log, environment.clock),
      backoff_(destination.settings().sync_interval) {}

std::optional<MonotonicTime> Uploader::Run() {
  const MonotonicTime now = environment_.clock.MonotonicNow();
  if (destination_.state() == DestinationState::kFenced) return std::nullopt;
  if (const auto until = backoff_.until(); until && now < *until) return until;
  auto next = Step(now);
  if (next) {
    if (backoff_.until()) {
      backoff_.Succeeded();
      errors_.Clear();
      destination_.NoteSuccess();
    }
    return *next;
  }
  if (next.error().code() == Errc::kFenced) return std::nullopt;
  destination_.NoteError(next.error());
  errors_.Log(LogLevel::kWarn, "upload failed, trying again", "destination",
              destination_.settings().name, next.error());
  return backoff_.Failed(environment_.clock.MonotonicNow(), environment_.random);
}

Result<WakeTime> Uploader::Step(MonotonicTime now) {
  if (destination_.state() == DestinationState::kConnecting) settled_ = false;
  if (!settled_) {
    RUNNEL_TRY(const WakeTime wait, ConnectAndSettle());
    if (!settled_) return wait;
  }
  if (destination_.state() == DestinationState::kNeedsSnapshot) return std::nullopt;
  if (batch_last_) return UploadNext(now);
  const auto newest = source_.staging().newest();
  if (!newest || newest->txid <= destination_.position()) return std::nullopt;
  const bool hurry = hurry_.exchange(false, std::memory_order_acq_rel);
  if (now < next_batch_ && !hurry) return next_batch_;
  return BeginBatch(newest->txid, now);
}

Result<WakeTime> Uploader::ConnectAndSettle() {
  if (destination_.state() == DestinationState::kConnecting) {
    batch_last_.reset();
    RUNNEL_TRY_VOID(destination_.Connect(source_.staging()));
    if (const auto need = destination_.snapshot_need()) {
      environment_.log.Warn(
          "the replica cannot be continued as it is, a snapshot is made",
          {{"destination", destination_.settings().name}, {"reason", need->reason}});
    }
  }
  RUNNEL_TRY(const WakeTime wait, events_.OnConnected(destination_, destination_.position()));
  settled_ = !wait;
  if (destination_.snapshot_need()) events_.OnSnapshotNeeded();
  return wait;
}

Result<WakeTime> Uploader::BeginBatch(Txid newest, MonotonicTime now) {
  RUNNEL_TRY_VOID(destination_.EnsureClaimedForBatch());
  next_batch_ = now + destination_.settings().sync_interval;
  batch_last_ = newest;
  return UploadNext(now);
}

Result<WakeTime> Uploader::UploadNext(MonotonicTime now) {
  const Txid position = destination_.position();
  if (position >= *batch_last_) {
    batch_last_.reset();
    return now;  // there may be more by now
  }
  // Also before a snapshot is asked for: it is no use to one that does not answer.
  RUNNEL_TRY_VOID(destination_.EnsureClaimed());
  const Txid txid = Next(position);
  auto summary = source_.staging().Summary(txid);
  if (!summary && summary.error().code() == Errc::kNotFound) {
    return BlockForSnapshot(position,
                            fmt::format("txid {} is not staged any more", FormatTxid(txid)));
  }
  if (!summary && summary.error().code() == Errc::kCorruption) {
    return BridgeDamaged(txid, summary.error());
  }
  if (!summary) return Fail(std::move(summary).error());
  if (!destination_.Continues(summary->header)) {
    return BlockForSnapshot(
        position, fmt::format("txid {} does not continue the replica's txid {}: another program "
                              "wrote there, or the chain is broken",
                              FormatTxid(txid), FormatTxid(position)));
  }
  RUNNEL_TRY(const auto damage, destination_.UploadCut(txid, source_.staging()));
  if (damage) return BridgeDamaged(txid, *damage);
  events_.OnStored(destination_);
  return now;
}

// Nothing in the file is to be believed, also not what its header says of the database: the
// snapshot ends behind it. If it is the newest one, and the database at rest, there would be no cut
// to end at; one with every page is that snapshot already.
WakeTime Uploader::BridgeDamaged(Txid txid, const Error& damage) {
  const WakeTime wait = BlockForSnapshot(
      txid,
      fmt::format("the local file of txid {} is damaged: {}", FormatTxid(txid), damage.message()));
  const auto newest = source_.staging().newest();
  if (newest && newest->txid == txid) source_.CompareAgain(capture::CompareExtent::kEveryPage);
  return wait;
}

WakeTime Uploader::BlockForSnapshot(Txid beyond, std::string reason) {
  environment_.log.Warn("the next cut cannot follow the replica, a snapshot is made first",
                        {{"destination", destination_.settings().name}, {"reason", reason}});
  batch_last_.reset();
  destination_.RequireSnapshot(
      {.urgency = SnapshotUrgency::kBlocksUploads, .beyond = beyond, .reason = std::move(reason)});
  events_.OnSnapshotNeeded();
  return std::nullopt;
}

}  // namespace runnel::replicate
