// When to look at a WAL (pure).
//
// A notification comes when a frame is written, which is before the commit shows in the wal-index,
// sometimes by an fsync. So after one we look soon, and again with back-off until the commit is
// there or has had its time; also after a look that found something, since another commit may still
// be on its way behind that one. While an application writes without pause we look at a steady
// pace, faster the faster the WAL grows, so that it is seen before its bound.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace runnel::capture {

class Pacing {
 public:
  // The sizes of the WAL at which a look has something to do, ascending.
  Pacing(std::uint32_t threshold_frames, std::uint32_t ready_frames,
         std::uint32_t hard_bound_frames)
      : threshold_frames_(threshold_frames),
        ready_frames_(ready_frames),
        hard_bound_frames_(hard_bound_frames) {}

  // Something was written. Returns when to look, at the latest.
  MonotonicTime OnNotify(MonotonicTime now);

  // A look that began at `now` found this many new frames; so many wait in the WAL after it.
  void OnLook(std::uint64_t new_frames, std::uint64_t wal_frames, MonotonicTime now);

  // The next look that is owed though nothing notifies; nothing: none.
  std::optional<MonotonicTime> NextLook() const { return next_look_; }

  // The last time that something was written or found.
  MonotonicTime last_activity() const { return last_activity_; }

 private:
  std::uint64_t FramesToNextBound(std::uint64_t wal_frames) const;

  std::uint32_t threshold_frames_;
  std::uint32_t ready_frames_;
  std::uint32_t hard_bound_frames_;
  std::optional<MonotonicTime> last_look_;
  std::chrono::nanoseconds pace_ = std::chrono::milliseconds(1);
  std::chrono::nanoseconds back_off_{};
  std::optional<MonotonicTime> notified_at_;  // and the commit has not shown yet
  std::optional<MonotonicTime> next_look_;
  MonotonicTime last_activity_{};
};

}  // namespace runnel::capture
