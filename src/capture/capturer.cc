#include "capture/capturer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "capture/wal_tail.h"

namespace runnel::capture {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// How long we try to get the WRITE lock between two commits of saturating writers, how long we
// keep it, and how often to look meanwhile. Most of the time one of them has it: it is tried many
// times in a row, for about as long as a few commits take, with an fsync each.
constexpr milliseconds kForcedWaitMax{20};
constexpr milliseconds kForcedTimeMax{10};
constexpr microseconds kForcedLook{50};
constexpr int kForcedTries = 1024;
constexpr int kCheckpointProbes = 256;

// A writer that has the WRITE lock for so long without a commit does not let go of it soon. Not
// less: what is copied beside a transaction is not what lets the WAL start over once it ends, so
// for those that come one right after the other the lock has to be waited for.
constexpr milliseconds kLongTransaction{1000};

// How long the mark may stay behind while nobody commits.
constexpr milliseconds kMarkKeptMax{5};

// How often, at most, to sync before the lock what was written since the last time; and how few
// frames, as a part of a threshold, are left to the checkpoint under the lock, to capture and sync.
constexpr int kSyncsAheadMax = 3;
constexpr std::uint32_t kLeftForLockPart = 8;

// How soon to try again when the fence kept the mark from moving.
constexpr milliseconds kFenceLook{1};

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
    behind_held_ = false;
    fence_closed_ = false;
    persisted_ = {};
    RUNNEL_TRY_VOID(OpenWal());
    RUNNEL_TRY_VOID(CheckWalFits(held));
    if (!resume) return Continuity::kNoPosition;
    if (!wal_ || resume->salts != held.position.salts) return Continuity::kWalReplaced;
    if (resume->frame > held.position.frame) return Continuity::kCommitsLost;
    RUNNEL_TRY(const bool holds, HoldsPosition(*wal_, held.page_size, *resume));
    if (!holds) return Continuity::kCommitsLost;
    captured_.position = *resume;
    behind_held_ = *resume != held.position;
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

// The very file that our connections have open: what is verified in it is what they copy out of it.
Result<void> Capturer::OpenWal() {
  if (wal_) return {};
  auto opened = fs_.Open(mark_.holder().wal_path(), fs::OpenMode::kRead);
  if (!opened && opened.error().code() == Errc::kNotFound) RUNNEL_TRY_VOID(CheckFiles());
  if (!opened) return Fail(std::move(opened).error().Context("open the WAL"));
  RUNNEL_TRY(const fs::FileInfo info, (*opened)->Info());
  if (info.identity != mark_.holder().wal_files().wal) {
    RUNNEL_TRY_VOID(CheckFiles());
    return Fail(Errc::kUnavailable, mark_.holder().wal_path().native() + ": comes and goes");
  }
  wal_ = std::move(*opened);
  return {};
}

// Applications that have a deleted WAL open go on to name its frames in the wal-index. SQLite takes
// whatever the file of that name has in their place for these frames, and so would a checkpoint of
// ours. Nothing here is under a mark that was held when it was captured, so it is looked at now:
// each frame that is not in the database file yet, and the last one.
Result<void> Capturer::CheckWalFits(const WalState& held) {
  if (held.position.frame == FrameNo{0}) return {};
  RUNNEL_TRY(const LiveWal before, mark_.Live());
  const FrameNo first = std::min(Next(before.backfilled), held.position.frame);
  RUNNEL_TRY(const bool fits, HoldsFrames(*wal_, held, first));
  if (fits) return {};
  // From slot 0 we may have seen the WAL start over.
  RUNNEL_TRY(const LiveWal live, mark_.Live());
  if (live.state.position.salts != held.position.salts) return {};
  return Fail(Errc::kUnavailable,
              mark_.holder().wal_path().native() +
                  ": is not the WAL that applications have open, which was deleted or replaced; "
                  "they have to be restarted, their commits are not seen until then");
}

Result<void> Capturer::CatchUp(Segment& segment) {
  RUNNEL_TRY_VOID(CaptureHeld(segment));
  RUNNEL_TRY(const MoveResult moved, mark_.Advance([&](const WalState& state) -> Result<void> {
    RUNNEL_TRY_VOID(CaptureUpTo(state, segment));
    return PrepareForRestart(state, segment);
  }));
  fence_closed_ = moved == MoveResult::kFenced;  // everything is captured, only the mark stays
  return {};
}

// The mark that Connect() took may be in slot 0, where it does not keep the WAL from starting over:
// what was committed between the end of an earlier capture and the mark can be gone before the mark
// has moved once. So it is captured first, and whether all of it was still there, its checksums
// say.
Result<void> Capturer::CaptureHeld(Segment& segment) {
  if (!behind_held_) return {};
  RUNNEL_TRY_VOID(CaptureUpTo(mark_.held(), segment));
  RUNNEL_TRY_VOID(PrepareForRestart(mark_.held(), segment));
  behind_held_ = false;
  return {};
}

Result<void> Capturer::CaptureUpTo(const WalState& state, Segment& segment) {
  if (state.position == captured_.position) return {};
  // The invariant that everything rests on (capture/read_mark.h): a generation begins only after
  // all of the one before was captured.
  const WalPosition& held = mark_.held().position;
  const bool was_empty = captured_.position.frame == FrameNo{0};
  const bool missed_the_end =
      state.position.salts != captured_.position.salts &&
      ((held.salts != captured_.position.salts && !was_empty) ||
       (held.salts == captured_.position.salts && held.frame != captured_.position.frame));
  if (missed_the_end) {
    return Fail(Errc::kCorruption, "the WAL started over before all of it was captured");
  }
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
  captured_at_ = clock_.MonotonicNow();
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
  if (options_.flush_earlier) RUNNEL_TRY_VOID(options_.flush_earlier());
  RUNNEL_TRY_VOID(segment.Flush());
  persisted_ = state.position.salts;
  return {};
}

// Once all is copied the mark belongs into slot 0, where a checkpoint that wants to restart the WAL
// does not wait for it; until then out of it, since nothing can be copied under slot 0.
bool Capturer::IsInTheWay(const LiveWal& live) const {
  return (live.backfilled >= live.state.position.frame) != mark_.in_slot_zero();
}

// Whether a look has anything to do, found in memory alone: an idle database is looked at now and
// then, and must not cost connections or system calls for it.
Result<bool> Capturer::HasWork() {
  if (behind_held_ || fence_closed_) return true;
  auto live = mark_.Live();
  if (!live) {
    // A writer that died while it published: the transaction that comes next repairs that.
    if (live.error().code() == Errc::kBusy) return true;
    return Fail(std::move(live).error());
  }
  const WalPosition& newest = live->state.position;
  if (newest != captured_.position || newest != mark_.held().position) return true;
  return IsInTheWay(*live);
}

// With SQLite's own threshold exceeded, each move of the mark has the application run a checkpoint
// in its next commit, which takes as long as ours, is in its way, and copies all but the last
// frames. So while writers leave no gap the mark stays until the WRITE lock is ours, or until they
// pause: somebody may be waiting for it with the WRITE lock held, which tells nobody.
bool Capturer::MarkStays(const Segment& segment) {
  if (behind_held_ || fence_closed_ || !segment.committed()) return false;
  const auto live = mark_.Live();
  if (!live || IsInTheWay(*live)) return false;
  const WalPosition& newest = live->state.position;
  if (newest.salts != mark_.held().position.salts) return false;
  const MonotonicTime now = clock_.MonotonicNow();
  if (newest == captured_.position && now - captured_at_ >= kMarkKeptMax) return false;
  return policy_.Decide(*live, now) == CheckpointStep::kForced ||
         policy_.AwaitsHardBound(*live, now);
}

// Frames, as far as can be told.
std::uint64_t Capturer::LeftToCapture() {
  const auto live = mark_.Live();
  if (!live || live->state.position.salts != captured_.position.salts) return 0;
  const FrameNo newest = live->state.position.frame;
  return newest > captured_.position.frame ? ToInt(newest) - ToInt(captured_.position.frame) : 0;
}

// What is committed is captured, the mark stays behind. In the held generation frames past the mark
// are as intact as those up to it (capture/read_mark.h).
Result<void> Capturer::CaptureAhead(Segment& segment) {
  RUNNEL_TRY(const LiveWal live, mark_.Live());
  if (live.state.position.salts != mark_.held().position.salts) return {};
  return CaptureUpTo(live.state, segment);
}

Result<std::optional<MonotonicTime>> Capturer::Service(Segment& segment) {
  const bool mark_stays = MarkStays(segment);
  if (mark_stays) {
    RUNNEL_TRY_VOID(CaptureAhead(segment));
  } else {
    RUNNEL_TRY(const bool has_work, HasWork());
    if (has_work) RUNNEL_TRY_VOID(CatchUp(segment));
  }
  RUNNEL_TRY(LiveWal before, mark_.Live());
  if (policy_.NearsHardBound(before, clock_.MonotonicNow())) {
    RUNNEL_TRY_VOID(SyncAhead(segment));
    RUNNEL_TRY(before, mark_.Live());
  }
  const CheckpointStep step = policy_.Decide(before, clock_.MonotonicNow());
  CheckpointObstacle obstacle = CheckpointObstacle::kReader;
  if (step == CheckpointStep::kPassive) {
    if (mark_stays) RUNNEL_TRY_VOID(CatchUp(segment));  // it copies no further than up to the mark
    RUNNEL_TRY(obstacle, TryPassive(segment));
  } else if (step == CheckpointStep::kForced) {
    RUNNEL_TRY(obstacle, ForceCheckpoint(segment));
  }
  RUNNEL_TRY(const LiveWal after, mark_.Live());
  const MonotonicTime now = clock_.MonotonicNow();
  policy_.Note(step, obstacle, before, after, now);
  // A checkpoint that waits for us tells nobody, and holds the WRITE lock meanwhile.
  if (fence_closed_ || IsInTheWay(after)) return now + kFenceLook;
  auto next = policy_.NextLook(after);
  const bool mark_is_behind = mark_stays && mark_.held().position != captured_.position;
  if (mark_is_behind && (!next || *next > now + kMarkKeptMax)) next = now + kMarkKeptMax;
  return next;
}

Result<void> Capturer::CheckpointPassive(Segment& segment) {
  RUNNEL_TRY_VOID(TryPassive(segment));
  return CatchUp(segment);
}

// Then into slot 0, if nobody has written since: there the next writer starts the WAL over.
Result<CheckpointObstacle> Capturer::TryPassive(Segment& segment) {
  RUNNEL_TRY(const sqlite::CheckpointResult result, mark_.Checkpoint());
  RUNNEL_TRY(const LiveWal live, mark_.Live());
  if (live.backfilled >= live.state.position.frame) RUNNEL_TRY_VOID(CatchUp(segment));
  // Busy: the application is at it itself, which serves as well.
  return result.busy ? CheckpointObstacle::kCheckpointer : CheckpointObstacle::kReader;
}

// Writers that leave no gap between two commits never let a checkpoint reach the end. With the
// WRITE lock held nobody commits, so the last frames can be captured, copied and the mark moved to
// slot 0; the next writer then starts the WAL over. Whatever can be opened, written or synced
// before is not under the lock: a writer that finds it taken for more than a millisecond sleeps for
// three, then for eight.
Result<CheckpointObstacle> Capturer::ForceCheckpoint(Segment& segment) {
  RUNNEL_TRY_VOID(mark_.PrepareCheckpoint());
  RUNNEL_TRY_VOID(SyncAhead(segment));
  const MonotonicTime start = clock_.MonotonicNow();
  const bool nobody_commits = start - captured_at_ >= kLongTransaction;
  const MonotonicTime give_up_at = nobody_commits ? start : start + kForcedWaitMax;
  MonotonicTime move_at = start + kMarkKeptMax;
  bool beside_checkpointer = false;
  for (;;) {
    {
      RUNNEL_TRY(const std::optional<sqlite::WriteLock> lock, TakeWriteLock(beside_checkpointer));
      if (lock) {
        return BackfillUnderWriteLock(segment, clock_.MonotonicNow() + kForcedTimeMax);
      }
    }
    const MonotonicTime now = clock_.MonotonicNow();
    if (now >= give_up_at) {
      if (!nobody_commits) return CheckpointObstacle::kCheckpointer;
      // One transaction has the lock for long, and a checkpoint without it is in nobody's way.
      RUNNEL_TRY_VOID(CatchUp(segment));
      return TryPassive(segment);
    }
    if (now >= move_at && now - captured_at_ >= kMarkKeptMax) {
      // An application's TRUNCATE that has both locks may be waiting for our mark.
      RUNNEL_TRY_VOID(CatchUp(segment));
      move_at = now + kMarkKeptMax;
    }
    clock_.Sleep(kForcedLook);
    RUNNEL_TRY_VOID(CaptureAhead(segment));
  }
}

// Leaves little to capture, write and sync under the lock, as far as the disk keeps up with the
// writers.
Result<void> Capturer::SyncAhead(Segment& segment) {
  RUNNEL_TRY(sqlite::Connection * locker, mark_.WriteLocker());
  const std::uint32_t little = options_.checkpoint.threshold_frames / kLeftForLockPart;
  const auto frames_since = [](const WalPosition& from, const WalPosition& to) {
    return from.salts == to.salts ? ToInt(to.frame) - ToInt(from.frame) : ToInt(to.frame);
  };
  for (int i = 0; i < kSyncsAheadMax; ++i) {
    RUNNEL_TRY_VOID(CaptureAhead(segment));
    if (!segment.committed()) break;
    RUNNEL_TRY_VOID(segment.Flush());
    RUNNEL_TRY(const LiveWal before, mark_.Live());
    if (frames_since(synced_, before.state.position) < little) break;
    if (!policy_.MaySyncAhead(before, clock_.MonotonicNow())) break;
    const bool another_wal = synced_.salts != before.state.position.salts;
    if (another_wal || before.backfilled > backfill_synced_) {
      RUNNEL_TRY_VOID(locker->SyncDatabaseFile());
      backfill_synced_ = before.backfilled;
    }
    RUNNEL_TRY_VOID(locker->SyncWal());
    synced_ = before.state.position;
    RUNNEL_TRY(const LiveWal after, mark_.Live());
    policy_.NoteSyncBesideWriters(frames_since(synced_, after.state.position),
                                  clock_.MonotonicNow());
  }
  return {};
}

// Nothing if a writer has it all the time; if somebody else's checkpoint runs, beside which ours
// could copy nothing, while writers would wait for both; or if a large transaction came in between.
// The one that an application runs after a commit past its own threshold is over at once where our
// mark has not moved. Where another one was met, the lock is left alone until that one has ended:
// taken again and again it would be ours most of the time.
Result<std::optional<sqlite::WriteLock>> Capturer::TakeWriteLock(bool& beside_checkpointer) {
  RUNNEL_TRY(sqlite::Connection * locker, mark_.WriteLocker());
  if (beside_checkpointer) {
    RUNNEL_TRY(const sqlite::LockState checkpoint, sqlite::ProbeCheckpointLock(*locker));
    if (checkpoint == sqlite::LockState::kHeld) return std::nullopt;
    beside_checkpointer = false;
  }
  RUNNEL_TRY(auto lock, sqlite::WriteLock::TakeBetweenCommits(*locker, kForcedTries));
  if (!lock || LeftToCapture() > options_.checkpoint.threshold_frames) return std::nullopt;
  for (int i = 0; i < kCheckpointProbes; ++i) {
    RUNNEL_TRY(const sqlite::LockState checkpoint, sqlite::ProbeCheckpointLock(*locker));
    if (checkpoint == sqlite::LockState::kFree) return lock;
  }
  beside_checkpointer = true;
  return std::nullopt;
}

Result<CheckpointObstacle> Capturer::BackfillUnderWriteLock(Segment& segment,
                                                            MonotonicTime deadline) {
  CheckpointObstacle obstacle = CheckpointObstacle::kReader;
  for (;;) {
    // A header that cannot be read now is a dead writer's. SQLite would repair it under the very
    // lock that we hold, and wait for it.
    RUNNEL_TRY(const LiveWal live, mark_.Live());
    RUNNEL_TRY_VOID(CatchUp(segment));
    if (live.backfilled >= live.state.position.frame) return obstacle;  // and we are in slot 0 now
    if (clock_.MonotonicNow() >= deadline) {
      log_.Debug("the WAL could not be emptied under the write lock");
      return obstacle;
    }
    // A committing application is for an instant still in the read slot of one commit back, and
    // the checkpoint stops there: repeat. (A reader that stays looks the same.)
    RUNNEL_TRY(const sqlite::CheckpointResult result, mark_.Checkpoint());
    obstacle = result.busy ? CheckpointObstacle::kCheckpointer : CheckpointObstacle::kReader;
    if (result.busy || result.backfilled < result.log_frames) clock_.Sleep(kForcedLook);
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

Result<bool> Capturer::HasMoved() { return mark_.holder().HasMoved(); }

}  // namespace runnel::capture
