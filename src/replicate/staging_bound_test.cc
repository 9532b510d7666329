// What is staged for destinations that do not answer stays within its limit, and they become whole.

#include <gmock/gmock.h>

#include "replicate/replica_set.h"
#include "testing/replica_world.h"

namespace runnel::replicate {
namespace {

using namespace std::chrono_literals;
using testing::Machine;
using testing::RestoreFrom;
using ::testing::SizeIs;

class StagingBoundTest : public testing::ReplicateTest {
 protected:
  // Cuts one a second, with time for uploads to fail in between. The most that was ever staged.
  std::uint64_t Work(int cuts) {
    std::uint64_t most = 0;
    for (int i = 0; i < cuts; ++i) {
      machine.database.Commit();
      most = std::max(most, machine.database.staging().total_bytes());
      machine.Advance(1s);
    }
    return most;
  }

  // What the destination has is the database as it is.
  void ExpectWhole(store::ObjectStore& place) {
    const auto restored = RestoreFrom(place, layout);
    ASSERT_OK(restored);
    EXPECT_EQ(restored->txid, machine.database.newest());
    EXPECT_TRUE(restored->pages == machine.database.pages());
    EXPECT_TRUE(restored->pages == machine.database.states().at(restored->txid));
  }

  Machine machine{clock, fs, random, "host"};

  static constexpr std::uint64_t kLimit = 100'000;
  // The cut that it is at, and the newest one, are not counted.
  static constexpr std::uint64_t kSlack = 20'000;
};

TEST_F(StagingBoundTest, HoldsWithADeadDestinationAndABusyWriter) {
  machine.max_staging_bytes = kLimit;
  auto target = machine.Target(store);
  target.settings.proof = ProofMode::kOn;  // whose scan must not keep the cuts either
  machine.Start({target});
  machine.Run();
  Work(10);
  ExpectWhole(memory);
  const Txid reached = machine.set->durable_txid();
  store.FailFrom(1);
  const std::uint64_t most = Work(2000);
  EXPECT_GT(most, kLimit / 2) << "the bound was not reached, this shows nothing";
  EXPECT_LT(most, kLimit + kSlack);
  EXPECT_TRUE(machine.log.Contains("too much is staged for a destination", LogLevel::kWarn));
  EXPECT_EQ(machine.set->durable_txid(), reached);
  EXPECT_LE(machine.database.scans, 2) << "no snapshot is begun for one that does not answer";

  store.Heal();
  machine.Advance(15min);
  ExpectWhole(memory);
  EXPECT_EQ(machine.set->durable_txid(), machine.database.newest());
  // What was there before can still be restored, and what comes goes on cut by cut.
  const auto before = RestoreFrom(memory, layout, restore::Target::AtTxid(reached));
  ASSERT_OK(before);
  EXPECT_TRUE(before->pages == machine.database.states().at(reached));
  const int scans = machine.database.scans;
  for (int i = 0; i < 50; ++i) {
    Work(1);
    ExpectWhole(memory);
  }
  EXPECT_EQ(machine.database.scans, scans);
  machine.Advance(1h);
  EXPECT_THAT(machine.database.staging().files(), SizeIs(1));
}

TEST_F(StagingBoundTest, OneThatIsAwayCostsTheOthersNothing) {
  machine.max_staging_bytes = kLimit;
  store::MemoryStore other(clock);
  testing::FaultStore unreachable(other, clock);
  machine.Start({machine.Target(store), machine.Target(unreachable, "two")});
  machine.Run();
  Work(5);
  unreachable.FailFrom(1);
  for (int i = 0; i < 300; ++i) {
    EXPECT_LT(Work(1), kLimit + kSlack);
    ExpectWhole(memory);
  }
  // Cut by cut: no snapshot was made for it.
  EXPECT_THAT(Names("db/ltx/9/"), SizeIs(0));
  EXPECT_TRUE(machine.log.Contains("too much is staged", LogLevel::kWarn));
  unreachable.Heal();
  machine.Advance(15min);
  ExpectWhole(other);
  ExpectWhole(memory);
}

TEST_F(StagingBoundTest, HoldsForADestinationThatWasNeverReached) {
  machine.max_staging_bytes = kLimit;
  store::MemoryStore other(clock);
  testing::FaultStore unreachable(other, clock);
  unreachable.FailFrom(1);
  machine.Start({machine.Target(store), machine.Target(unreachable, "two")});
  machine.Advance(61s);
  EXPECT_LT(Work(500), kLimit + kSlack);
  unreachable.Heal();
  machine.Advance(15min);
  ExpectWhole(other);
}

TEST_F(StagingBoundTest, HoldsAfterARestartWhileTheDestinationIsStillAway) {
  machine.max_staging_bytes = kLimit;
  machine.Start({machine.Target(store)});
  machine.Run();
  Work(5);
  store.FailFrom(1);
  Work(300);
  machine.Stop();
  machine.Start({machine.Target(store)});
  EXPECT_LT(Work(300), kLimit + kSlack);
  store.Heal();
  machine.Advance(15min);
  ExpectWhole(memory);
}

// A database that was removed makes no more cuts: what is staged may be all that is left of it.
TEST_F(StagingBoundTest, NothingIsGivenUpWithoutANewCut) {
  machine.Start({machine.Target(store)});
  machine.Run();
  Work(5);
  store.FailFrom(1);
  Work(300);
  machine.Stop();
  const auto staged = machine.database.staging().files().size();
  ASSERT_GT(machine.database.staging().total_bytes(), kLimit);
  machine.max_staging_bytes = kLimit;
  machine.Start({machine.Target(store)});
  machine.set->OnCut();
  machine.Advance(1h);
  EXPECT_EQ(machine.database.staging().files().size(), staged);
  store.Heal();
  machine.Advance(10min);
  ExpectWhole(memory);
  EXPECT_EQ(machine.database.scans, 0);
}

// The first copy of a large database takes long, and is as large as a snapshot would be.
TEST_F(StagingBoundTest, TheCutThatItIsAtIsNotGivenUpThoughItAloneExceedsTheLimit) {
  machine.max_staging_bytes = 1500;
  machine.Start({machine.Target(store)});
  machine.Run();
  testing::Pages pages;
  for (std::uint32_t i = 1; i <= 40; ++i) pages[PageNo{i}] = random.NextBytes(testing::kPageSize);
  machine.database.SetPages(pages);
  store.FailFrom(1);
  machine.database.Cut();
  machine.Advance(3s);
  machine.database.ChangeUnseen(PageNo{1});
  machine.database.CompareAgain(capture::CompareExtent::kDifferingPages);  // one page
  ASSERT_THAT(machine.database.staging().files(), SizeIs(2));
  store.Heal();
  machine.Advance(5min);
  ExpectWhole(memory);
  EXPECT_EQ(machine.database.scans, 0);
}

}  // namespace
}  // namespace runnel::replicate
