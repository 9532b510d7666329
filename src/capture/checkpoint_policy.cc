#include "capture/checkpoint_policy.h"

#include <algorithm>

namespace runnel::capture {
namespace {

using std::chrono::milliseconds;

// A try that got nowhere is repeated after 10 ms, then ever later: what stands in the way is a
// reader of the application's, and only it can end that.
constexpr milliseconds kRetryFirst{10};
constexpr milliseconds kRetryLast{1000};

// What soon ends is tried again soon: a saturating writer fills the WAL to its bound in 10 ms.
constexpr milliseconds kRetryContended{2};

// Writers that added this part of a threshold while a checkpoint ran will not leave a gap for the
// next one either. Nor will those that were there at the end of so many in a row, each of which had
// only little left to do.
constexpr std::uint32_t kSaturatedPart = 8;
constexpr std::uint32_t kGaplessTries = 3;

// Rather than keep the disk busy, wait for the hard bound, or for them to tire.
constexpr milliseconds kPassivePause{20};
constexpr milliseconds kPassivePauseLast{160};

// Writers that added less than this part may be paced: whether one of their transactions falls into
// the end of a checkpoint is luck, and a try soon after may have it.
constexpr std::uint32_t kPacedPart = 64;
constexpr milliseconds kPacedPause{6};

// A disk on which one sync takes so long that the WAL grows by a threshold meanwhile is not synced
// beside writers for a while: nothing would keep them from going past the bound.
constexpr std::chrono::seconds kSlowDiskPause{1};
constexpr std::uint32_t kSlowDiskDoublings = 5;

milliseconds RetryAfter(std::uint32_t fruitless_tries) {
  return std::min(kRetryLast, kRetryFirst * (1U << std::min(fruitless_tries, 10U)));
}

}  // namespace

bool CheckpointPolicy::ReaderIsStillThere(const LiveWal& live) const {
  return stopped_at_ && stopped_at_->salts == live.state.position.salts &&
         live.backfilled < stopped_at_->frame;
}

// Writers leave no gap, and what stops a checkpoint is not a reader that would stop this one too.
bool CheckpointPolicy::MustForce(const LiveWal& live) const {
  return ToInt(live.state.position.frame) >= limits_.hard_bound_frames() && fruitless_tries_ == 0 &&
         !ReaderIsStillThere(live);
}

CheckpointStep CheckpointPolicy::Decide(const LiveWal& live, MonotonicTime now) const {
  if (now < not_before_) return CheckpointStep::kNone;
  if (Oversized(live)) {
    if (MustForce(live)) return CheckpointStep::kForced;
    return now < PassiveNotBefore(live) ? CheckpointStep::kNone : CheckpointStep::kPassive;
  }
  const bool waited_long =
      idle_since_ && limits_.interval.count() > 0 && now - *idle_since_ >= limits_.interval;
  return waited_long && live.backfilled < live.state.position.frame ? CheckpointStep::kPassive
                                                                    : CheckpointStep::kNone;
}

void CheckpointPolicy::Note(CheckpointStep step, CheckpointObstacle obstacle, const LiveWal& before,
                            const LiveWal& after, MonotonicTime now) {
  const bool pending = after.backfilled < after.state.position.frame;
  if (!pending) {
    idle_since_.reset();
  } else if (!idle_since_) {
    idle_since_ = now;
  }
  if (step == CheckpointStep::kNone) return;
  const bool progress = after.state.position.salts != before.state.position.salts ||
                        after.backfilled > before.backfilled || !pending;
  if (progress) {
    fruitless_tries_ = 0;
    not_before_ = now;
  } else if (obstacle == CheckpointObstacle::kCheckpointer) {
    not_before_ = now + kRetryContended;
  } else {
    ++fruitless_tries_;
    not_before_ = now + RetryAfter(fruitless_tries_);
  }
  const bool stopped = pending && obstacle == CheckpointObstacle::kReader;
  if (stopped && (!progress || step == CheckpointStep::kForced)) {
    stopped_at_ = before.state.position;
  }
  if (step != CheckpointStep::kPassive) return;
  if (pending) idle_since_ = now;
  if (progress) NoteGap(before, after, now);
}

void CheckpointPolicy::NoteGap(const LiveWal& before, const LiveWal& after, MonotonicTime now) {
  const wal::Salts& salts = after.state.position.salts;
  if (salts != before.state.position.salts) return;
  const std::uint32_t grew = ToInt(after.state.position.frame) - ToInt(before.state.position.frame);
  NoteSyncBesideWriters(grew, now);
  gapless_tries_ = salts == gapless_salts_ ? gapless_tries_ + 1 : 1;
  gapless_salts_ = salts;
  passive_not_before_ = now;
  if (grew >= limits_.threshold_frames / kSaturatedPart) {
    gapless_tries_ = std::max(gapless_tries_, kGaplessTries);
  }
  if (gapless_tries_ < kGaplessTries) return;
  const std::uint32_t doublings = std::min(gapless_tries_ - kGaplessTries, 10U);
  passive_not_before_ += grew < limits_.threshold_frames / kPacedPart
                             ? kPacedPause
                             : std::min(kPassivePauseLast, kPassivePause * (1U << doublings));
}

bool CheckpointPolicy::MaySyncAhead(const LiveWal& live, MonotonicTime now) const {
  return now >= beside_not_before_ &&
         ToInt(live.state.position.frame) <
             limits_.hard_bound_frames() + limits_.threshold_frames;  // past it no time is left
}

void CheckpointPolicy::NoteSyncBesideWriters(std::uint32_t grew, MonotonicTime now) {
  if (grew < limits_.threshold_frames) {
    slow_syncs_ = 0;
    return;
  }
  beside_not_before_ = now + kSlowDiskPause * (1U << std::min(slow_syncs_, kSlowDiskDoublings));
  ++slow_syncs_;
}

MonotonicTime CheckpointPolicy::PassiveNotBefore(const LiveWal& live) const {
  const bool same_wal = live.state.position.salts == gapless_salts_;
  return std::max(beside_not_before_, same_wal ? passive_not_before_ : MonotonicTime{});
}

std::optional<MonotonicTime> CheckpointPolicy::NextLook(const LiveWal& live) const {
  if (live.backfilled >= live.state.position.frame) return std::nullopt;
  if (Oversized(live)) {
    return MustForce(live) ? not_before_ : std::max(not_before_, PassiveNotBefore(live));
  }
  if (!idle_since_ || limits_.interval.count() == 0) return std::nullopt;
  return std::max(not_before_, *idle_since_ + limits_.interval);
}

}  // namespace runnel::capture
