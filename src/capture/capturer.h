// Follows one database's WAL: takes the read mark, copies what is committed into the open segment,
// keeps the WAL short. Knows nothing of LTX files or stores.
//
//   (1) Everything committed reaches the open segment before the WAL can overwrite it, or the
//       capturer says that continuity is lost (kCorruption) and must be connected anew.
//   (2) Before the WAL can restart, what was captured is in the segment's file, so that a crash of
//       this process loses nothing (a sync is not needed for that).
//   (3) SQLite's WRITE lock is taken only past the hard bound of the WAL's size. Nothing is begun
//       under it after kForcedTimeMax; what is slow was done before, as far as the disk keeps up.
//
// One thread at a time: the capture job of the database.

#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "capture/checkpoint_policy.h"
#include "capture/read_mark.h"
#include "capture/segment.h"
#include "fs/file_system.h"
#include "fs/stored_path.h"
#include "sqlite/open_registry.h"
#include "sqlite/wal_index.h"

namespace runnel::capture {

struct CapturerOptions {
  fs::StoredPath database;
  CheckpointLimits checkpoint;
  // Writes down what was captured before the current segment and is not cut yet; part of (2).
  std::function<Result<void>()> flush_earlier;
};

// What became of the position that capture was to go on from.
enum class Continuity : std::uint8_t {
  kKept,         // the WAL still holds everything since then
  kNoPosition,   // there is none: nothing was captured, or what was is not known
  kWalReplaced,  // the WAL is another generation: something may have been written unseen
  kCommitsLost,  // the WAL is the same generation, but ends earlier or went on differently: commits
                 // that were captured are not in the database any more
};

class Capturer {
 public:
  Capturer(CapturerOptions options, sqlite::OpenRegistry& registry, fs::FileSystem& fs,
           Clock& clock, Logger& log);

  // Takes the read mark and finds out whether capture can go on from `resume` (none: there is
  // nothing to go on from). If it is not kKept, capture starts at the held position, and the caller
  // must make good for what lies between by a scan.
  Result<Continuity> Connect(const std::optional<WalPosition>& resume);
  void Disconnect();
  bool connected() const { return mark_.acquired(); }

  // Where capture stands, and how large the database is there. Only while connected, as all below.
  const WalState& captured() const { return captured_; }
  Result<LiveWal> Live() { return mark_.Live(); }

  // Captures everything that is committed into `segment`, and moves the mark there, unless the
  // fence keeps it for now (fence_closed()).
  Result<void> CatchUp(Segment& segment);
  bool fence_closed() const { return fence_closed_; }

  // Captures everything that is committed, then does whatever the checkpoint policy asks for. Moves
  // the mark as CatchUp() does, unless writers leave no gap and the hard bound is near. Returns
  // when to look again though nothing was written.
  Result<std::optional<MonotonicTime>> Service(Segment& segment);

  // A checkpoint now, whatever the policy; for tests and a final pass. Never blocks, may achieve
  // nothing.
  Result<void> CheckpointPassive(Segment& segment);

  // Frames past what is backfilled, up to what is captured, newest copy of each page: what a raw
  // read of the database file may see torn (docs/capture.md, "Scans").
  Result<void> CopyUnbackfilled(Segment& overlay);

  // Gives back what an idle database does not need. Whatever needs it gets it again.
  void Rest();
  bool rests() const { return wal_ == nullptr && mark_.rests(); }

  // The database file was deleted or replaced: what we follow is not what applications write.
  Result<bool> HasMoved();

  // The same for its WAL and its wal-index: kUnavailable, naming the file.
  Result<void> CheckFiles() const { return mark_.CheckFiles(); }

  // Nobody else had the database open when we connected, as far as that was asked.
  bool was_alone() const { return mark_.was_alone(); }

 private:
  Result<void> OpenWal();
  Result<void> CheckWalFits(const WalState& held);
  Result<bool> HasWork();
  bool MarkStays(const Segment& segment);
  std::uint64_t LeftToCapture();
  Result<void> CaptureAhead(Segment& segment);
  bool IsInTheWay(const LiveWal& live) const;
  Result<void> CaptureHeld(Segment& segment);
  Result<void> CaptureUpTo(const WalState& state, Segment& segment);
  Result<void> PrepareForRestart(const WalState& state, Segment& segment);
  Result<CheckpointObstacle> TryPassive(Segment& segment);
  Result<CheckpointObstacle> ForceCheckpoint(Segment& segment);
  Result<void> SyncAhead(Segment& segment);
  Result<std::optional<sqlite::WriteLock>> TakeWriteLock(bool& beside_checkpointer);
  Result<CheckpointObstacle> BackfillUnderWriteLock(Segment& segment, MonotonicTime deadline);

  const CapturerOptions options_;
  fs::FileSystem& fs_;
  Clock& clock_;
  Logger& log_;
  ReadMark mark_;
  CheckpointPolicy policy_;
  std::unique_ptr<fs::File> wal_;
  WalState captured_;
  bool behind_held_ = false;   // captured_ is where an earlier capture ended, before the held mark
  bool fence_closed_ = false;  // the last CatchUp() could not move the mark
  wal::Salts persisted_;       // the generation that the segment's file knows of

  // By SyncAhead(): up to where the WAL is synced, and the frames that were in the database file
  // when it was.
  WalPosition synced_;
  FrameNo backfill_synced_{};
  MonotonicTime captured_at_{};  // when captured_ moved last
};

}  // namespace runnel::capture
