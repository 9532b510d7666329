// When to checkpoint, and how hard (pure; the work is in capturer.cc).

#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/ids.h"
#include "capture/read_mark.h"

namespace runnel::capture {

struct CheckpointLimits {
  // Below SQLite's own threshold of 1000 frames, past which every commit of the application would
  // run a checkpoint of its own.
  std::uint32_t threshold_frames = 800;
  std::uint32_t hard_bound = 0;                                  // frames; 0: twice the threshold
  std::chrono::milliseconds interval = std::chrono::minutes(1);  // 0: only by size

  std::uint32_t hard_bound_frames() const {
    return hard_bound != 0 ? hard_bound : 2 * threshold_frames;
  }
  // From here on what the checkpoint at the hard bound will need is made ready.
  std::uint32_t ready_frames() const {
    return threshold_frames / 2 + std::max(threshold_frames, hard_bound_frames()) / 2;
  }
};

enum class CheckpointStep : std::uint8_t {
  kNone,
  kPassive,  // without any lock of ours: applications never see BUSY from it
  kForced,   // with SQLite's WRITE lock taken, briefly: writers do not leave us a gap
};

// How a step ended that copied nothing.
enum class CheckpointObstacle : std::uint8_t {
  kReader,        // a read transaction of the application's: only it can end that
  kCheckpointer,  // somebody else is at it, or a lock was not free: soon over
};

// Remembers what was tried, so that a reader who pins the WAL is not run into again and again.
class CheckpointPolicy {
 public:
  explicit CheckpointPolicy(const CheckpointLimits& limits) : limits_(limits) {}

  CheckpointStep Decide(const LiveWal& live, MonotonicTime now) const;

  // What a step came to: `after` as read after it, and what stopped it, if it copied nothing.
  void Note(CheckpointStep step, CheckpointObstacle obstacle, const LiveWal& before,
            const LiveWal& after, MonotonicTime now);

  // Writers leave a checkpoint without the lock no gap, and the one at the hard bound is next:
  // until then the read mark is better left where it is (Capturer::MarkStays()).
  bool AwaitsHardBound(const LiveWal& live, MonotonicTime now) const {
    return Oversized(live) && Decide(live, now) == CheckpointStep::kNone && fruitless_tries_ == 0 &&
           !ReaderIsStillThere(live) && live.state.position.salts == gapless_salts_;
  }

  bool NearsHardBound(const LiveWal& live, MonotonicTime now) const {
    return ToInt(live.state.position.frame) >= limits_.ready_frames() && AwaitsHardBound(live, now);
  }

  // Whether to sync beside writers what the checkpoint under the lock would have to sync, and how
  // far the WAL grew meanwhile.
  bool MaySyncAhead(const LiveWal& live, MonotonicTime now) const;
  void NoteSyncBesideWriters(std::uint32_t grew, MonotonicTime now);

  // When Decide() may say something else though the WAL has not changed.
  std::optional<MonotonicTime> NextLook(const LiveWal& live) const;

 private:
  bool MustForce(const LiveWal& live) const;
  bool ReaderIsStillThere(const LiveWal& live) const;
  void NoteGap(const LiveWal& before, const LiveWal& after, MonotonicTime now);
  MonotonicTime PassiveNotBefore(const LiveWal& live) const;
  bool Oversized(const LiveWal& live) const {
    return ToInt(live.state.position.frame) >= limits_.threshold_frames &&
           live.backfilled < live.state.position.frame;
  }

  CheckpointLimits limits_;
  MonotonicTime not_before_{};          // of the next try
  MonotonicTime passive_not_before_{};  // of the next one without the lock, in gapless_salts_
  wal::Salts gapless_salts_;            // the generation in which writers left no gap
  std::uint32_t gapless_tries_ = 0;     // in it, in a row
  MonotonicTime beside_not_before_{};   // of the next sync beside writers
  std::uint32_t slow_syncs_ = 0;        // in a row, beside which the WAL grew too far
  std::uint32_t fruitless_tries_ = 0;   // in a row, without a frame backfilled
  // The newest commit when a reader last stopped a try. What stops one before this is backfilled is
  // a reader that was there already, and so outlives the time that we may hold the WRITE lock.
  std::optional<WalPosition> stopped_at_;
  std::optional<MonotonicTime> idle_since_;  // frames have waited in the WAL since
};

}  // namespace runnel::capture
