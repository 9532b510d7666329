#include "capture/pacing.h"

#include <algorithm>

namespace runnel::capture {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr nanoseconds kFirstLook = milliseconds(1);
constexpr nanoseconds kPaceSlowest = milliseconds(20);
constexpr nanoseconds kPaceFastest = milliseconds(1);
// What the speed of writing is measured over, at most.
constexpr nanoseconds kStretchMax = std::chrono::seconds(1);
constexpr nanoseconds kBackOffLast = milliseconds(160);
// A commit that does not show within this time after its last frame was rolled back, or its writer
// died; the sweep finds it if it comes after all.
constexpr nanoseconds kGiveUpAfter = std::chrono::seconds(1);

}  // namespace

MonotonicTime Pacing::OnNotify(MonotonicTime now) {
  notified_at_ = now;
  last_activity_ = now;
  back_off_ = kFirstLook;
  const MonotonicTime paced = last_look_ ? *last_look_ + pace_ : now;
  const MonotonicTime look = std::max(now + kFirstLook, paced);
  next_look_ = next_look_ ? std::min(*next_look_, look) : look;
  return *next_look_;
}

// Half the way to the threshold, since looks are cheap up to there; then all the way.
std::uint64_t Pacing::FramesToNextBound(std::uint64_t wal_frames) const {
  if (wal_frames < threshold_frames_) {
    return std::max((threshold_frames_ - wal_frames) / 2, std::uint64_t{threshold_frames_ / 8});
  }
  if (wal_frames < ready_frames_) return ready_frames_ - wal_frames;
  if (wal_frames < hard_bound_frames_) return hard_bound_frames_ - wal_frames;
  return threshold_frames_;
}

void Pacing::OnLook(std::uint64_t new_frames, std::uint64_t wal_frames, MonotonicTime now) {
  const nanoseconds since_last =
      last_look_ ? std::min<nanoseconds>(now - *last_look_, kStretchMax) : kPaceSlowest;
  last_look_ = now;
  next_look_.reset();
  if (new_frames > 0) {
    last_activity_ = now;
    back_off_ = kFirstLook;
    const auto until_bound = since_last * FramesToNextBound(wal_frames) / new_frames;
    pace_ = std::clamp<nanoseconds>(until_bound, kPaceFastest, kPaceSlowest);
  } else {
    pace_ = kPaceSlowest;
  }
  if (!notified_at_) return;
  if (now - *notified_at_ >= kGiveUpAfter) {
    notified_at_.reset();
    return;
  }
  next_look_ = now + (new_frames > 0 ? std::max(back_off_, pace_) : back_off_);
  back_off_ = std::min(back_off_ * 2, kBackOffLast);
}

}  // namespace runnel::capture
