#include "capture/pacing.h"

#include <gtest/gtest.h>

namespace runnel::capture {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr MonotonicTime kStart{hours(5)};

TEST(PacingTest, LooksSoonAfterANotificationAndThenEverLaterUntilTheCommitHadItsTime) {
  Pacing pacing(800, 1200, 1600);
  MonotonicTime now = pacing.OnNotify(kStart);
  EXPECT_EQ(now, kStart + milliseconds(1));
  int looks = 0;
  auto last_gap = milliseconds(0);
  for (;; ++looks) {
    pacing.OnLook(0, 0, now);
    const auto next = pacing.NextLook();
    if (!next) break;
    const auto gap = std::chrono::duration_cast<milliseconds>(*next - now);
    EXPECT_GE(gap, last_gap);
    EXPECT_LE(gap, milliseconds(160));
    last_gap = gap;
    now = *next;
  }
  EXPECT_GE(now - kStart, seconds(1));
  EXPECT_LT(now - kStart, milliseconds(1300));
  EXPECT_LT(looks, 20);
}

TEST(PacingTest, NothingIsOwedWithoutANotification) {
  Pacing pacing(800, 1200, 1600);
  EXPECT_FALSE(pacing.NextLook());
  pacing.OnLook(0, 0, kStart);
  EXPECT_FALSE(pacing.NextLook());
  pacing.OnLook(5, 5, kStart + seconds(1));
  EXPECT_FALSE(pacing.NextLook());
}

// A commit is told when its frames are written, and shows after an fsync: the look that comes in
// between finds the commit before it, and must not take that for the one it was told of.
TEST(PacingTest, CommitThatIsStillOnItsWayBehindAnotherIsLookedForAgain) {
  Pacing pacing(800, 1200, 1600);
  const MonotonicTime look = pacing.OnNotify(kStart);
  pacing.OnLook(3, 3, look);
  const auto next = pacing.NextLook();
  ASSERT_TRUE(next);
  EXPECT_LE(*next - look, milliseconds(20));
}

TEST(PacingTest, SaturatingWriterIsLookedAtWhenItsWalReachesTheHardBound) {
  Pacing pacing(800, 1200, 1600);
  MonotonicTime now = kStart;
  constexpr double kFramesPerMs = 100;
  std::uint64_t wal_frames = 0;
  for (int i = 0; i < 500; ++i) {
    const MonotonicTime look = std::max(pacing.OnNotify(now), now);
    const double elapsed_ms = std::chrono::duration<double, std::milli>(look - now).count();
    const auto new_frames = static_cast<std::uint64_t>(elapsed_ms * kFramesPerMs);
    wal_frames += new_frames;
    if (i > 5) EXPECT_LE(wal_frames, 1600 + 200U);
    pacing.OnLook(new_frames, wal_frames, look);
    if (wal_frames >= 1600) wal_frames = 0;  // it starts over
    now = look;
  }
}

TEST(PacingTest, SlowWriterIsLookedAtAtMostEvery20Milliseconds) {
  Pacing pacing(800, 1200, 1600);
  MonotonicTime now = kStart;
  int looks = 0;
  while (now < kStart + seconds(2)) {
    now = pacing.OnNotify(now);
    pacing.OnLook(1, 1, now);
    ++looks;
  }
  EXPECT_LE(looks, 2000 / 20 + 2);
}

TEST(PacingTest, YearsOfSilenceOverflowNothing) {
  Pacing pacing(0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF);
  pacing.OnLook(1, 1, kStart);
  const MonotonicTime later = kStart + hours(24 * 365 * 30);
  const MonotonicTime look = pacing.OnNotify(later);
  EXPECT_EQ(look, later + milliseconds(1));
  pacing.OnLook(1, 1, look);
  EXPECT_EQ(pacing.OnNotify(look), look + milliseconds(20));
}

}  // namespace
}  // namespace runnel::capture
