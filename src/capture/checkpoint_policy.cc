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
// next one either: rather than keep the disk busy, wait for the hard bound, or for them to tire.
constexpr std::uint32_t kSaturatedPart = 8;
constexpr milliseconds kPassivePause{20};

milliseconds RetryAfter(std::uint32_t fruitless_tries) {
  return std::min(kRetryLast, kRetryFirst * (1U << std::min(fruitless_tries, 10U)));
}

}  // namespace

// Writers leave no gap, and what stops a checkpoint is not a reader that would stop this one too.
bool CheckpointPolicy::MustForce(const LiveWal& live) const {
  const bool reader_is_still_there = stopped_at_ &&
                                     stopped_at_->salts == live.state.position.salts &&
                                     live.backfilled < stopped_at_->frame;
  return ToInt(live.state.position.frame) >= limits_.hard_bound_frames() && fruitless_tries_ == 0 &&
         !reader_is_still_there;
}

CheckpointStep CheckpointPolicy::Decide(const LiveWal& live, MonotonicTime now) const {
  if (now < not_before_) return CheckpointStep::kNone;
  if (Oversized(live)) {
    if (MustForce(live)) return CheckpointStep::kForced;
    return now < passive_not_before_ ? CheckpointStep::kNone : CheckpointStep::kPassive;
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
  if (step != CheckpointStep::kPassive || !pending) return;
  idle_since_ = now;
  const bool same_wal = after.state.position.salts == before.state.position.salts;
  const std::uint32_t grew =
      same_wal ? ToInt(after.state.position.frame) - ToInt(before.state.position.frame) : 0;
  if (grew >= limits_.threshold_frames / kSaturatedPart) passive_not_before_ = now + kPassivePause;
}

std::optional<MonotonicTime> CheckpointPolicy::NextLook(const LiveWal& live) const {
  if (live.backfilled >= live.state.position.frame) return std::nullopt;
  if (Oversized(live)) {
    return MustForce(live) ? not_before_ : std::max(not_before_, passive_not_before_);
  }
  if (!idle_since_ || limits_.interval.count() == 0) return std::nullopt;
  return std::max(not_before_, *idle_since_ + limits_.interval);
}

}  // namespace runnel::capture
