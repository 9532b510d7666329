#include "capture/checkpoint_policy.h"

#include <algorithm>

namespace runnel::capture {
namespace {

using std::chrono::milliseconds;

// A try that got nowhere is repeated after 10 ms, then ever later: what stands in the way is a
// reader of the application's, and only it can end that.
constexpr milliseconds kRetryFirst{10};
constexpr milliseconds kRetryLast{1000};

milliseconds RetryAfter(std::uint32_t fruitless_tries) {
  return std::min(kRetryLast, kRetryFirst * (1U << std::min(fruitless_tries, 10U)));
}

}  // namespace

CheckpointStep CheckpointPolicy::Decide(const LiveWal& live, MonotonicTime now) const {
  if (now < not_before_) return CheckpointStep::kNone;
  if (Oversized(live)) {
    const std::uint64_t hard_bound =
        std::uint64_t{limits_.threshold_frames} * limits_.hard_bound_factor;
    const bool writers_leave_no_gap =
        ToInt(live.state.position.frame) >= hard_bound && fruitless_tries_ == 0;
    return writers_leave_no_gap ? CheckpointStep::kForced : CheckpointStep::kPassive;
  }
  const bool waited_long =
      idle_since_ && limits_.interval.count() > 0 && now - *idle_since_ >= limits_.interval;
  return waited_long && live.backfilled < live.state.position.frame ? CheckpointStep::kPassive
                                                                    : CheckpointStep::kNone;
}

void CheckpointPolicy::Note(CheckpointStep step, const LiveWal& before, const LiveWal& after,
                            MonotonicTime now) {
  const bool pending = after.backfilled < after.state.position.frame;
  if (!pending) {
    idle_since_.reset();
  } else if (!idle_since_) {
    idle_since_ = now;
  }
  if (step == CheckpointStep::kNone) return;
  const bool progress = after.state.position.salts != before.state.position.salts ||
                        after.backfilled > before.backfilled || !pending;
  fruitless_tries_ = progress ? 0 : fruitless_tries_ + 1;
  not_before_ = progress ? now : now + RetryAfter(fruitless_tries_);
  if (step == CheckpointStep::kPassive && pending) idle_since_ = now;
}

std::optional<MonotonicTime> CheckpointPolicy::NextLook(const LiveWal& live) const {
  if (live.backfilled >= live.state.position.frame) return std::nullopt;
  if (Oversized(live)) return not_before_;
  if (!idle_since_ || limits_.interval.count() == 0) return std::nullopt;
  return std::max(not_before_, *idle_since_ + limits_.interval);
}

}  // namespace runnel::capture
