#include "capture/checkpoint_policy.h"

#include <gtest/gtest.h>

namespace runnel::capture {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using enum CheckpointStep;

constexpr MonotonicTime kStart{seconds(1000)};

LiveWal Wal(std::uint32_t frames, std::uint32_t backfilled, std::uint32_t salt = 1) {
  return {.state = {.position = {.salts = {.salt1 = salt, .salt2 = 0},
                                 .frame = FrameNo{frames},
                                 .checksum = {}},
                    .commit_pages = 10,
                    .page_size = 4096},
          .backfilled = FrameNo{backfilled}};
}

TEST(CheckpointPolicyTest, NothingBelowTheThreshold) {
  CheckpointPolicy policy({.threshold_frames = 100});
  EXPECT_EQ(policy.Decide(Wal(99, 0), kStart), kNone);
  EXPECT_EQ(policy.Decide(Wal(500, 500), kStart), kNone);
}

TEST(CheckpointPolicyTest, PassiveFromTheThresholdAndForcedFromTheHardBound) {
  CheckpointPolicy policy({.threshold_frames = 100});
  EXPECT_EQ(policy.Decide(Wal(100, 0), kStart), kPassive);
  EXPECT_EQ(policy.Decide(Wal(199, 0), kStart), kPassive);
  EXPECT_EQ(policy.Decide(Wal(200, 0), kStart), kForced);
}

TEST(CheckpointPolicyTest, ReaderThatPinsTheWalIsNotRunIntoAgainAndAgainNorIsTheWriteLockTaken) {
  CheckpointPolicy policy({.threshold_frames = 100});
  MonotonicTime now = kStart;
  int tries = 0;
  int forced = 0;
  for (; now < kStart + seconds(60); now += milliseconds(1)) {
    const LiveWal wal = Wal(5000, 30);
    const CheckpointStep step = policy.Decide(wal, now);
    if (step == kNone) {
      const auto next = policy.NextLook(wal);
      ASSERT_TRUE(next && *next > now);
      continue;
    }
    ++tries;
    if (step == kForced) ++forced;
    policy.Note(step, CheckpointObstacle::kReader, wal, wal, now);
  }
  EXPECT_LE(forced, 1);
  EXPECT_GT(tries, 50);
  EXPECT_LT(tries, 80);
}

// Each that leaves lets a part be copied, and the next one stops it there.
TEST(CheckpointPolicyTest, ReadersThatLeaveOneByOneHaveTheWriteLockTakenOnlyOnceTheyAreGone) {
  CheckpointPolicy policy({.threshold_frames = 100});
  const LiveWal pinned = Wal(150, 10);
  policy.Note(kPassive, CheckpointObstacle::kReader, pinned, pinned, kStart);
  MonotonicTime now = kStart;
  std::uint32_t frames = 1000;
  for (const std::uint32_t mark : {30U, 90U, 150U}) {
    for (int i = 0; i < 100; ++i) {
      now += milliseconds(10);
      const LiveWal before = Wal(frames, i == 0 ? mark - 20 : mark);
      const CheckpointStep step = policy.Decide(before, now);
      ASSERT_NE(step, kForced) << "reader at " << mark << ", look " << i;
      policy.Note(step, CheckpointObstacle::kReader, before, Wal(frames, mark), now);
      ++frames;
    }
  }
  // The last one of them was at 150, but the stop that counts is the newest one.
  now += seconds(2);
  ASSERT_EQ(policy.Decide(Wal(frames, 150), now), kPassive);
  policy.Note(kPassive, CheckpointObstacle::kReader, Wal(frames, 150), Wal(frames + 50, frames),
              now);
  EXPECT_EQ(policy.Decide(Wal(frames + 50, frames), now), kForced);
}

TEST(CheckpointPolicyTest, LockThatWasTakenInVainIsNotTakenAgainBesideTheSameReaders) {
  CheckpointPolicy policy({.threshold_frames = 100});
  ASSERT_EQ(policy.Decide(Wal(300, 0), kStart), kForced);
  policy.Note(kForced, CheckpointObstacle::kReader, Wal(300, 0), Wal(310, 50), kStart);
  EXPECT_EQ(policy.Decide(Wal(310, 50), kStart), kPassive);
  EXPECT_EQ(policy.Decide(Wal(310, 299), kStart), kPassive);
  EXPECT_EQ(policy.Decide(Wal(320, 300), kStart), kForced);
  EXPECT_EQ(policy.Decide(Wal(320, 50, 2), kStart), kForced) << "another generation";
}

TEST(CheckpointPolicyTest, ProgressAllowsTheNextTryAtOnce) {
  CheckpointPolicy policy({.threshold_frames = 100});
  policy.Note(kPassive, CheckpointObstacle::kReader, Wal(150, 0), Wal(150, 0), kStart);
  EXPECT_EQ(policy.Decide(Wal(150, 0), kStart + milliseconds(1)), kNone);
  EXPECT_EQ(policy.Decide(Wal(150, 0), kStart + milliseconds(25)), kPassive);
  policy.Note(kPassive, CheckpointObstacle::kReader, Wal(150, 0), Wal(160, 150),
              kStart + milliseconds(25));
  EXPECT_EQ(policy.Decide(Wal(160, 150), kStart + milliseconds(25)), kPassive);
}

TEST(CheckpointPolicyTest, AnotherCheckpointInTheWayIsNotBackedOffFromAsAReaderIs) {
  CheckpointPolicy policy({.threshold_frames = 100});
  for (int i = 0; i < 20; ++i) {
    policy.Note(kPassive, CheckpointObstacle::kCheckpointer, Wal(150, 0), Wal(150, 0), kStart);
  }
  EXPECT_EQ(policy.Decide(Wal(150, 0), kStart + milliseconds(5)), kPassive);
  EXPECT_EQ(policy.Decide(Wal(250, 0), kStart + milliseconds(5)), kForced);
}

TEST(CheckpointPolicyTest, WritersThatLeaveNoGapAreLeftAloneUntilTheHardBound) {
  CheckpointPolicy policy({.threshold_frames = 100});
  EXPECT_FALSE(policy.AwaitsHardBound(Wal(110, 0), kStart));
  // An eighth of a threshold came while it ran.
  policy.Note(kPassive, CheckpointObstacle::kReader, Wal(100, 0), Wal(113, 100), kStart);
  const MonotonicTime soon = kStart + milliseconds(19);
  EXPECT_EQ(policy.Decide(Wal(150, 100), soon), kNone);
  EXPECT_TRUE(policy.AwaitsHardBound(Wal(150, 100), soon));
  EXPECT_EQ(policy.NextLook(Wal(150, 100)), kStart + milliseconds(20));
  EXPECT_EQ(policy.Decide(Wal(200, 100), soon), kForced);
  // They may have tired, or be others in the next generation.
  EXPECT_EQ(policy.Decide(Wal(150, 100), kStart + milliseconds(20)), kPassive);
  EXPECT_EQ(policy.Decide(Wal(100, 0, 2), soon), kPassive);
  EXPECT_FALSE(policy.AwaitsHardBound(Wal(100, 0, 2), soon));
}

// Of a checkpoint in each of 500 ms, by writers who add `grow` frames while one runs, and no more.
int TriesBesideWriters(std::uint32_t grow) {
  CheckpointPolicy policy({.threshold_frames = 1000});
  std::uint32_t frames = 1000;
  int tries = 0;
  for (MonotonicTime now = kStart; now < kStart + milliseconds(500); now += milliseconds(1)) {
    const LiveWal before = Wal(frames, frames - grow);
    if (policy.Decide(before, now) == kNone) continue;
    ++tries;
    frames += grow;
    policy.Note(kPassive, CheckpointObstacle::kReader, before, Wal(frames, frames - grow), now);
  }
  return tries;
}

TEST(CheckpointPolicyTest, WritersThatAreThereAtTheEndOfEachTryAreTriedEverMoreSeldom) {
  const int tries = TriesBesideWriters(20);
  EXPECT_GE(tries, 6);
  EXPECT_LE(tries, 8);
}

TEST(CheckpointPolicyTest, PacedWritersAreTriedSoonAgain) {
  const int tries = TriesBesideWriters(2);
  EXPECT_GE(tries, 65);
  EXPECT_LE(tries, 90);
}

TEST(CheckpointPolicyTest, DiskThatWritersOutrunIsNotSyncedBesideThem) {
  CheckpointPolicy policy({.threshold_frames = 100});
  EXPECT_TRUE(policy.MaySyncAhead(Wal(200, 0), kStart));
  EXPECT_FALSE(policy.MaySyncAhead(Wal(300, 0), kStart));
  policy.Note(kPassive, CheckpointObstacle::kReader, Wal(100, 0), Wal(900, 100), kStart);
  // Whatever the generation.
  EXPECT_EQ(policy.Decide(Wal(150, 0, 2), kStart + milliseconds(999)), kNone);
  EXPECT_FALSE(policy.MaySyncAhead(Wal(200, 0, 2), kStart + milliseconds(999)));
  EXPECT_EQ(policy.Decide(Wal(200, 0, 2), kStart + milliseconds(1)), kForced);
  EXPECT_EQ(policy.Decide(Wal(150, 0, 2), kStart + seconds(1)), kPassive);
  EXPECT_TRUE(policy.MaySyncAhead(Wal(200, 0, 2), kStart + seconds(1)));
  // Again: twice as long. Once it was quick: as at first.
  policy.NoteSyncBesideWriters(100, kStart + seconds(1));
  EXPECT_FALSE(policy.MaySyncAhead(Wal(200, 0, 2), kStart + milliseconds(2999)));
  policy.NoteSyncBesideWriters(99, kStart + seconds(3));
  policy.NoteSyncBesideWriters(100, kStart + seconds(3));
  EXPECT_TRUE(policy.MaySyncAhead(Wal(200, 0, 2), kStart + seconds(4)));
}

TEST(CheckpointPolicyTest, FewFramesWaitForTheInterval) {
  CheckpointPolicy policy({.threshold_frames = 100, .interval = minutes(1)});
  policy.Note(kNone, CheckpointObstacle::kReader, Wal(5, 0), Wal(5, 0), kStart);
  EXPECT_EQ(policy.NextLook(Wal(5, 0)), kStart + minutes(1));
  EXPECT_EQ(policy.Decide(Wal(5, 0), kStart + seconds(59)), kNone);
  EXPECT_EQ(policy.Decide(Wal(5, 0), kStart + minutes(1)), kPassive);
  policy.Note(kPassive, CheckpointObstacle::kReader, Wal(5, 0), Wal(5, 5), kStart + minutes(1));
  EXPECT_FALSE(policy.NextLook(Wal(5, 5)));
}

TEST(CheckpointPolicyTest, IntervalOfZeroIsNone) {
  CheckpointPolicy policy({.threshold_frames = 100, .interval = {}});
  policy.Note(kNone, CheckpointObstacle::kReader, Wal(5, 0), Wal(5, 0), kStart);
  EXPECT_FALSE(policy.NextLook(Wal(5, 0)));
  EXPECT_EQ(policy.Decide(Wal(5, 0), kStart + minutes(500)), kNone);
}

}  // namespace
}  // namespace runnel::capture
