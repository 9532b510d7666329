#include "capture/capturer.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "capture/wal_tail.h"

namespace runnel::capture {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// How long we try to get the WRITE lock between two commits of saturating writers, how long we
// keep it, and how often to look meanwhile.
constexpr milliseconds kForcedWaitMax{20};
constexpr milliseconds kForcedTimeMax{10};
constexpr microseconds kForcedLook{50};

}  // namespace

Capturer::Capturer(CapturerOptions options, sqlite::OpenRegistry& registry, fs::FileSystem& fs,
                   Clock& clock, Logger& log)
    : options_(std::move(options)),
      fs_(fs),
      clock_(clock),
      log_(log),
      mark_(registry, options_.database, clock),
      policy_(options_.checkpoint) {}

Result<Continuity> Capturer::Connect(const std::optional<WalPosition>& resume) {
  RUNNEL_TRY_VOID(mark_.Acquire());
  const auto connect = [&]() -> Result<Continuity> {
    const WalState& held = mark_.held();
    captured_ = held;
    persisted_ = {};
    RUNNEL_TRY_VOID(OpenWal());
    if (!resume || !wal_ || resume->salts != held.position.salts ||
        resume->frame > held.position.frame) {
      return Continuity::kLost;
    }
    RUNNEL_TRY(const bool holds, HoldsPosition(*wal_, held.page_size, *resume));
    if (!holds) return Continuity::kLost;
    captured_.position = *resume;
    persisted_ = resume->salts;
    return Continuity::kKept;
  };
  auto connected = connect();
  if (!connected) Disconnect();
  return connected;
}

void Capturer::Disconnect() {
  wal_.reset();
  mark_.Release();
  policy_ = CheckpointPolicy(options_.checkpoint);
}

// A WAL that was never written does not exist, or has no header; it is opened once there is a
// frame.
Result<void> Capturer::OpenWal() {
  if (wal_) return {};
  auto opened = fs_.Open(mark_.holder().wal_path(), fs::OpenMode::kRead);
  if (opened) {
    wal_ = std::move(*opened);
  } else if (opened.error().code() != Errc::kNotFound ||
             mark_.held().position.frame != FrameNo{0}) {
    return Fail(std::move(opened).error().Context("open the WAL"));
  }
  return {};
}

Result<void> Capturer::CatchUp(Segment& segment) {
  RUNNEL_TRY(const MoveResult moved, mark_.Advance([&](const WalState& state) -> Result<void> {
    RUNNEL_TRY_VOID(CaptureUpTo(state, segment));
    return PrepareForRestart(state, segment);
  }));
  (void)moved;  // kFenced: everything is captured, only the mark stays for now
  return {};
}

Result<void> Capturer::CaptureUpTo(const WalState& state, Segment& segment) {
  if (state.position == captured_.position) return {};
  if (state.page_size != captured_.page_size && captured_.page_size != 0) {
    return Fail(Errc::kCorruption, "the page size changed under a held read mark");
  }
  if (state.position.frame == FrameNo{0}) {
    // An application truncated a WAL of which we had everything. No frame of the new generation
    // exists yet.
    segment.Commit({.position = state.position, .commit_pages = state.commit_pages});
  } else {
    RUNNEL_TRY_VOID(OpenWal());
    if (!wal_) return Fail(Errc::kCorruption, "the wal-index names frames, but there is no WAL");
    RUNNEL_TRY_VOID(CaptureFrames(*wal_, captured_.position, state, segment));
  }
  captured_ = state;
  return {};
}

// With everything backfilled the new mark may be slot 0, and once the old one is gone the next
// writer may start the WAL over. A new generation is written down as soon as it is seen, so that a
// restarted daemon can tell it from one that it missed.
Result<void> Capturer::PrepareForRestart(const WalState& state, Segment& segment) {
  RUNNEL_TRY(const LiveWal live, mark_.Live());
  const bool may_restart =
      live.state.position.salts != state.position.salts || live.backfilled >= state.position.frame;
  if (!may_restart && persisted_ == state.position.salts) return {};
  RUNNEL_TRY_VOID(segment.Flush());
  persisted_ = state.position.salts;
  return {};
}

Result<std::optional<MonotonicTime>> Capturer::Service(Segment& segment) {
  RUNNEL_TRY_VOID(CatchUp(segment));
  RUNNEL_TRY(const LiveWal before, mark_.Live());
  const CheckpointStep step = policy_.Decide(before, clock_.MonotonicNow());
  switch (step) {
    case CheckpointStep::kNone: break;
    case CheckpointStep::kPassive: RUNNEL_TRY_VOID(CheckpointPassive(segment)); break;
    case CheckpointStep::kForced: RUNNEL_TRY_VOID(ForceCheckpoint(segment)); break;
  }
  RUNNEL_TRY(const LiveWal after, mark_.Live());
  policy_.Note(step, before, after, clock_.MonotonicNow());
  return policy_.NextLook(after);
}

Result<void> Capturer::CheckpointPassive(Segment& segment) {
  RUNNEL_TRY(sqlite::Connection * connection, mark_.Checkpointer());
  RUNNEL_TRY(const sqlite::CheckpointResult result,
             connection->Checkpoint(sqlite::CheckpointMode::kPassive));
  // Busy: the application is at it itself, which serves as well.
  (void)result;
  // Into slot 0, if nobody has written since: there the next writer starts the WAL over.
  return CatchUp(segment);
}

// Writers that leave no gap between two commits never let a checkpoint reach the end. With the
// WRITE lock held nobody commits, so the last frames can be captured, copied and the mark moved to
// slot 0; the next writer then starts the WAL over. Until the lock is ours we go on as usual: an
// application's TRUNCATE that has it may be waiting for our mark.
Result<void> Capturer::ForceCheckpoint(Segment& segment) {
  RUNNEL_TRY(sqlite::Connection * locker, mark_.WriteLocker());
  const MonotonicTime wait_until = clock_.MonotonicNow() + kForcedWaitMax;
  for (;;) {
    RUNNEL_TRY_VOID(CatchUp(segment));
    auto lock = sqlite::WriteLock::Take(*locker);
    if (lock) {
      RUNNEL_TRY(const bool done,
                 BackfillUnderWriteLock(segment, clock_.MonotonicNow() + kForcedTimeMax));
      if (!done) log_.Debug("the WAL could not be emptied under the write lock");
      return {};
    }
    if (lock.error().code() != Errc::kBusy) return Fail(std::move(lock).error());
    if (clock_.MonotonicNow() >= wait_until) return {};
    clock_.Sleep(kForcedLook);
  }
}

Result<bool> Capturer::BackfillUnderWriteLock(Segment& segment, MonotonicTime deadline) {
  RUNNEL_TRY(sqlite::Connection * connection, mark_.Checkpointer());
  for (;;) {
    RUNNEL_TRY_VOID(CatchUp(segment));
    RUNNEL_TRY(const LiveWal live, mark_.Live());
    if (live.backfilled >= live.state.position.frame) {
      RUNNEL_TRY_VOID(CatchUp(segment));
      return true;
    }
    if (clock_.MonotonicNow() >= deadline) return false;
    // A committing application is for an instant still in the read slot of one commit back, and
    // the checkpoint stops there: repeat.
    RUNNEL_TRY(const sqlite::CheckpointResult result,
               connection->Checkpoint(sqlite::CheckpointMode::kPassive));
    if (result.busy) clock_.Sleep(kForcedLook);
  }
}

Result<void> Capturer::CopyUnbackfilled(Segment& overlay) {
  RUNNEL_TRY(const LiveWal live, mark_.Live());
  if (live.state.position.salts != captured_.position.salts ||
      live.backfilled >= captured_.position.frame) {
    return {};
  }
  RUNNEL_TRY_VOID(OpenWal());
  // The checksum chain can only be followed from the start. Frames that are backfilled already are
  // copied too: the same content as in the file.
  const WalPosition start{};
  return CaptureFrames(*wal_, start, captured_, overlay);
}

void Capturer::Rest() {
  wal_.reset();
  mark_.Rest();
}

Result<bool> Capturer::HasMoved() {
  RUNNEL_TRY(const bool database, mark_.holder().HasMoved());
  if (database) return true;
  return mark_.holder().WalIndexHasMoved();
}

}  // namespace runnel::capture
