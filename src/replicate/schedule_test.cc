#include "replicate/schedule.h"

#include <gmock/gmock.h>

#include "replicate/backoff.h"
#include "replicate/clock_guard.h"
#include "testing/manual_clock.h"
#include "testing/seeded_random.h"

namespace runnel::replicate {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr WallTime kMidnight{1'767'225'600s};

ReplicaFile File(std::uint64_t min, std::uint64_t max, WallTime time, std::uint64_t size = 100) {
  return {.range = {.min = Txid{min}, .max = Txid{max}}, .size_bytes = size, .timestamp = time};
}

Level L(int level) { return Level{static_cast<std::uint8_t>(level)}; }

std::vector<std::string> Names(const std::vector<LeveledFile>& files) {
  std::vector<std::string> names;
  for (const LeveledFile& f : files) {
    names.push_back(std::to_string(ToInt(f.level)) + ":" + std::to_string(ToInt(f.file.range.min)) +
                    "-" + std::to_string(ToInt(f.file.range.max)));
  }
  return names;
}

TEST(NextSlotTest, IsAlignedToUtcAndAlwaysLater) {
  EXPECT_EQ(NextSlot(kMidnight, 24h), kMidnight + 24h);
  EXPECT_EQ(NextSlot(kMidnight - 1ms, 24h), kMidnight);
  EXPECT_EQ(NextSlot(kMidnight + 61s, 30s), kMidnight + 90s);
}

TEST(ManifestTest, KeepsFilesOnceAndInOrder) {
  Manifest manifest;
  manifest.Add(L(0), File(2, 2, kMidnight));
  manifest.Add(L(0), File(1, 1, kMidnight));
  manifest.Add(L(0), File(2, 2, kMidnight, 7));
  ASSERT_THAT(manifest.files(L(0)), SizeIs(2));
  EXPECT_EQ(manifest.files(L(0))[1].size_bytes, 7U);
  EXPECT_TRUE(manifest.Remove(L(0), {.min = Txid{1}, .max = Txid{1}}));
  EXPECT_FALSE(manifest.Remove(L(0), {.min = Txid{1}, .max = Txid{1}}));
  EXPECT_FALSE(manifest.Remove(L(1), {.min = Txid{2}, .max = Txid{2}}));
  EXPECT_EQ(manifest.newest(), Txid{2});
}

TEST(ManifestTest, PathTakesTheFurthestFileAtEachStep) {
  Manifest manifest;
  manifest.Add(L(9), File(1, 10, kMidnight));
  manifest.Add(L(1), File(1, 8, kMidnight));
  manifest.Add(L(1), File(9, 14, kMidnight));
  manifest.Add(L(0), File(14, 14, kMidnight));
  manifest.Add(L(0), File(15, 15, kMidnight));
  EXPECT_THAT(Names(manifest.PathTo(Txid{99})), ElementsAre("9:1-10", "1:9-14", "0:15-15"));
  EXPECT_THAT(Names(manifest.PathTo(Txid{9})), ElementsAre("1:1-8"));
  manifest.Add(L(0), File(17, 17, kMidnight));
  EXPECT_EQ(manifest.reach(), Txid{15});
  EXPECT_EQ(manifest.newest(), Txid{17});
}

TEST(NextCompactionTest, TakesWhatTheLevelLacksUpToAHole) {
  Manifest manifest;
  for (const std::uint64_t n : {1U, 2U, 3U, 4U, 7U, 8U}) manifest.Add(L(0), File(n, n, kMidnight));
  manifest.Add(L(1), File(1, 2, kMidnight));
  EXPECT_THAT(NextCompaction(manifest, L(1), Txid{0}),
              ElementsAre(File(3, 3, kMidnight), File(4, 4, kMidnight)));
  manifest.Add(L(1), File(3, 4, kMidnight));
  EXPECT_THAT(NextCompaction(manifest, L(1), Txid{0}),
              ElementsAre(File(7, 7, kMidnight), File(8, 8, kMidnight)));
  EXPECT_THAT(NextCompaction(manifest, L(1), Txid{7}), ElementsAre(File(8, 8, kMidnight)));
  manifest.Add(L(1), File(7, 8, kMidnight));
  EXPECT_THAT(NextCompaction(manifest, L(1), Txid{0}), IsEmpty());
}

TEST(NextCompactionTest, IsBoundedInFilesAndBytesButTakesOneOfAnySize) {
  Manifest manifest;
  manifest.Add(L(0), File(1, 1, kMidnight, 5000));
  for (std::uint64_t n = 2; n < 20; ++n) manifest.Add(L(0), File(n, n, kMidnight));
  const CompactionLimits limits{.inputs_max = 4, .bytes_max = 1000};
  EXPECT_THAT(NextCompaction(manifest, L(1), Txid{0}, limits), SizeIs(1));
  manifest.Add(L(1), File(1, 1, kMidnight));
  EXPECT_THAT(NextCompaction(manifest, L(1), Txid{0}, limits), SizeIs(4));
  EXPECT_THAT(NextCompaction(manifest, L(1), Txid{0}, {.inputs_max = 99, .bytes_max = 250}),
              SizeIs(2));
}

TEST(CompactionDueTest, IsTheSlotAfterTheOldestFile) {
  Manifest manifest;
  EXPECT_EQ(CompactionDue(manifest, L(1), 30s, Txid{0}), std::nullopt);
  manifest.Add(L(0), File(1, 1, kMidnight + 31s));
  manifest.Add(L(0), File(2, 2, kMidnight + 59s));
  EXPECT_EQ(CompactionDue(manifest, L(1), 30s, Txid{0}), kMidnight + 60s);
  EXPECT_EQ(CompactionDue(manifest, L(2), 5min, Txid{0}), std::nullopt);
}

TEST(SnapshotDueTest, FirstCopyCountsAndAnUnchangedDatabaseNeedsNone) {
  Manifest manifest;
  manifest.Add(L(0), File(1, 1, kMidnight + 1h));
  EXPECT_EQ(SnapshotDue(manifest, 24h, {}), kMidnight + 24h);
  EXPECT_EQ(SnapshotDue(manifest, 0h, {}), std::nullopt);
  manifest.Add(L(9), File(1, 1, kMidnight + 25h));
  EXPECT_EQ(SnapshotDue(manifest, 24h, {}), std::nullopt);
  manifest.Add(L(0), File(2, 2, kMidnight + 26h));
  EXPECT_EQ(SnapshotDue(manifest, 24h, {}), kMidnight + 48h);
  // One made in this slot of an older state.
  EXPECT_EQ(SnapshotDue(manifest, 24h, kMidnight + 49h), kMidnight + 72h);
}

TEST(SnapshotDueTest, AReplicaWithoutABeginningIsDueAtOnce) {
  Manifest manifest;
  manifest.Add(L(0), File(5, 5, kMidnight));
  EXPECT_EQ(SnapshotDue(manifest, 24h, {}), WallTime{});
}

class PlanRetentionTest : public ::testing::Test {
 protected:
  DestinationSettings settings;
  Manifest manifest;
};

TEST_F(PlanRetentionTest, ASnapshotGoesOnceTheNextOneIsPastTheRetention) {
  manifest.Add(L(9), File(1, 10, kMidnight));
  manifest.Add(L(9), File(1, 20, kMidnight + 24h));
  manifest.Add(L(9), File(1, 30, kMidnight + 48h));
  auto plan = PlanRetention(manifest, settings, Txid{1}, kMidnight + 48h);
  EXPECT_THAT(plan.deletions, IsEmpty());
  EXPECT_EQ(plan.next, kMidnight + 48h + 1ms);
  plan = PlanRetention(manifest, settings, Txid{1}, *plan.next);
  EXPECT_THAT(Names(plan.deletions), ElementsAre("9:1-10"));
  plan = PlanRetention(manifest, settings, Txid{1}, kMidnight + 1000h);
  EXPECT_THAT(Names(plan.deletions), ElementsAre("9:1-10", "9:1-20"));
  EXPECT_EQ(plan.next, std::nullopt);
}

TEST_F(PlanRetentionTest, LevelsReachBackToTheNewestDeletedSnapshotAndKeepTheirLast) {
  manifest.Add(L(9), File(1, 10, kMidnight));
  manifest.Add(L(9), File(1, 20, kMidnight + 24h));
  manifest.Add(L(1), File(1, 9, kMidnight));
  manifest.Add(L(1), File(10, 12, kMidnight));
  manifest.Add(L(1), File(13, 20, kMidnight));
  manifest.Add(L(2), File(1, 9, kMidnight));
  const auto plan = PlanRetention(manifest, settings, Txid{1}, kMidnight + 49h);
  EXPECT_THAT(Names(plan.deletions), UnorderedElementsAre("9:1-10", "1:1-9"));
}

TEST_F(PlanRetentionTest, CutsGoWhenOldAndCompactedButNeverTheNewestOrTheFirstOfTheEpoch) {
  for (std::uint64_t n = 1; n <= 6; ++n) {
    manifest.Add(L(0), File(n, n, kMidnight + n * 60s));
  }
  const WallTime late = kMidnight + 1h;
  EXPECT_THAT(PlanRetention(manifest, settings, Txid{2}, late).deletions, IsEmpty());
  manifest.Add(L(1), File(1, 4, kMidnight));
  EXPECT_THAT(Names(PlanRetention(manifest, settings, Txid{2}, late).deletions),
              ElementsAre("0:1-1", "0:3-3", "0:4-4"));
  manifest.Add(L(1), File(5, 6, kMidnight));
  EXPECT_THAT(Names(PlanRetention(manifest, settings, Txid{2}, late).deletions),
              ElementsAre("0:1-1", "0:3-3", "0:4-4", "0:5-5"));
  EXPECT_THAT(PlanRetention(manifest, settings, std::nullopt, late).deletions, IsEmpty());
  const auto early = PlanRetention(manifest, settings, Txid{2}, kMidnight + 7min);
  EXPECT_THAT(Names(early.deletions), ElementsAre("0:1-1"));
  EXPECT_EQ(early.next, kMidnight + 3min + 5min + 1ms);
  settings.l0_retention = 0ms;
  EXPECT_THAT(PlanRetention(manifest, settings, Txid{2}, late).deletions, IsEmpty());
}

TEST(ClockGuardTest, DoubtsAJumpInEitherDirectionUntilItRanEvenly) {
  for (const auto jump : {std::chrono::minutes(6), std::chrono::minutes(-6)}) {
    testing::ManualClock clock;
    ClockGuard guard(24h);
    EXPECT_TRUE(guard.IsTrusted(clock));
    clock.Advance(100h);
    EXPECT_TRUE(guard.IsTrusted(clock)) << "time that passed is no jump";
    clock.SetWallTime(clock.Now() + jump);
    EXPECT_FALSE(guard.IsTrusted(clock));
    clock.Advance(23h);
    EXPECT_FALSE(guard.IsTrusted(clock));
    clock.Advance(1h);
    EXPECT_TRUE(guard.IsTrusted(clock));
  }
}

TEST(ClockGuardTest, DoubtsAClockThatTheStoreContradicts) {
  testing::ManualClock clock;
  for (const auto& [ahead, trusted] :
       {std::pair(std::chrono::hours(24 * 31), false), std::pair(std::chrono::hours(24 * 29), true),
        std::pair(std::chrono::hours(-1), false)}) {
    ClockGuard guard(24h);
    guard.Compare(clock, clock.Now() - ahead);
    EXPECT_EQ(guard.IsTrusted(clock), trusted) << ahead;
  }
  ClockGuard guard(24h);
  guard.Compare(clock, std::nullopt);
  EXPECT_TRUE(guard.IsTrusted(clock));
}

TEST(BackoffTest, DoublesUpToFiveMinutesWithJitterBelow) {
  testing::SeededRandom random(3);
  Backoff backoff(1s);
  const MonotonicTime now{1h};
  std::chrono::nanoseconds expected = 1s;
  for (int i = 0; i < 12; ++i) {
    const auto wait = backoff.Failed(now, random) - now;
    EXPECT_LE(wait, expected);
    EXPECT_GE(wait, expected - expected / 4 - 1ns);
    expected = std::min<std::chrono::nanoseconds>(expected * 2, 5min);
  }
  backoff.Succeeded();
  EXPECT_EQ(backoff.until(), std::nullopt);
  EXPECT_LE(backoff.Failed(now, random) - now, 1s);
}

}  // namespace
}  // namespace runnel::replicate
