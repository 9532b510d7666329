#include "replicate/prover.h"

#include <gmock/gmock.h>

#include "replicate/replica_set.h"
#include "testing/replica_world.h"

namespace runnel::replicate {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::Machine;

class ProverTest : public testing::ReplicateTest {
 protected:
  void Start() {
    auto target = machine.Target(store);
    target.settings.proof = ProofMode::kOn;
    target.settings.snapshot_interval = 1h;
    machine.Start({target});
    machine.Run();
  }
  void Work(int cuts) {
    for (int i = 0; i < cuts; ++i) {
      machine.database.Commit();
      machine.Advance(20s);
    }
  }
  Txid proven() { return machine.set->status()[0].proven; }

  Machine machine{clock, fs, random, "host"};
};

TEST_F(ProverTest, ProvesTheReplicaAgainstTheLiveDatabase) {
  Start();
  Work(1);
  EXPECT_EQ(proven(), Txid{1});
  Work(20);
  machine.Advance(1h);
  EXPECT_EQ(proven(), Txid{21});
  EXPECT_EQ(machine.set->status()[0].error, std::nullopt);
}

TEST_F(ProverTest, PagesWrittenDuringTheScanAreNoDifference) {
  machine.database.scan_pages_per_step = 1;
  Start();
  Work(10);
  machine.Advance(2h);
  machine.database.Commit();
  const int before = machine.database.scans;
  machine.Run();
  for (int i = 0; i < 200; ++i) {
    clock.Advance(30s);
    machine.database.Commit();
    for (int k = 0; k < 3; ++k) machine.scheduler.RunOne();
  }
  machine.Advance(2h);
  EXPECT_GT(machine.database.scans, before);
  EXPECT_FALSE(machine.log.Contains("differs"));
  EXPECT_EQ(proven(), machine.database.newest());
}

TEST_F(ProverTest, NamesThePageThatDiffersAndHasItSent) {
  Start();
  Work(5);
  machine.Advance(2h);
  ASSERT_EQ(proven(), Txid{5});
  // Again, if the commit happens to write that page itself.
  Bytes unseen;
  do {
    machine.database.ChangeUnseen(PageNo{2});
    unseen = machine.database.pages().at(PageNo{2});
    Work(1);
    machine.Advance(2h);
  } while (machine.database.pages().at(PageNo{2}) != unseen);
  EXPECT_TRUE(machine.log.Contains("page 2 of the database differs", LogLevel::kError));
  EXPECT_EQ(machine.database.comparisons, 1);
  // Without another commit.
  ExpectRestores(machine.database, machine.database.newest());
  const auto restored = testing::RestoreFrom(memory, layout);
  ASSERT_OK(restored);
  EXPECT_TRUE(restored->pages == machine.database.pages());
  EXPECT_EQ(proven(), machine.database.newest());
}

TEST_F(ProverTest, ReadsBackWhatItWroteAndTellsWhatRotted) {
  Start();
  Work(3);
  machine.database.Commit();
  // Rots between being written and being read back: the bulk jobs have not run yet.
  store::ObjectKey key;
  while (machine.set->durable_txid() < Txid{4}) ASSERT_TRUE(machine.scheduler.RunOne());
  key = layout.LtxKey(kLevelCut, {.min = Txid{4}, .max = Txid{4}});
  Bytes body = store::ReadObject(memory, key, 1 << 20).value();
  body[body.size() / 2] ^= std::byte{1};
  ASSERT_OK(store::PutObject(memory, key, body, {}));
  machine.Run();
  EXPECT_TRUE(machine.log.Contains("not what it should be", LogLevel::kError));
  machine.Advance(5min);
  ExpectRestores(machine.database, Txid{4});
  EXPECT_THAT(Names("db/ltx/9/"), ::testing::SizeIs(1));
}

TEST_F(ProverTest, GoesOnAfterARestartWithoutReadingEverythingAgain) {
  Start();
  Work(30);
  machine.Advance(2h);
  ASSERT_EQ(proven(), Txid{30});
  machine.Stop();
  store.CountOnly(runnel::testing::StoreCall::kReadAt);
  const std::uint64_t before = store.call_count();
  Start();
  machine.Run();
  // The claim and the newest header, but no body.
  EXPECT_LE(store.call_count() - before, 4U);
}

// Where cuts are never deleted, a rotten one stays: behind the snapshot nobody needs it.
TEST_F(ProverTest, ARottenCutThatIsKeptForEverIsBridgedOnce) {
  const auto start = [&] {
    auto target = machine.Target(store);
    target.settings.proof = ProofMode::kOn;
    target.settings.l0_retention = 0s;
    machine.Start({target});
    machine.Run();
  };
  start();
  Work(10);
  ASSERT_EQ(proven(), Txid{1});
  const store::ObjectKey key = layout.LtxKey(kLevelCut, {.min = Txid{5}, .max = Txid{5}});
  Bytes body = store::ReadObject(memory, key, 1 << 20).value();
  body[body.size() / 2] ^= std::byte{1};
  ASSERT_OK(store::PutObject(memory, key, body, {}));
  machine.Stop();
  start();
  const int before = machine.database.scans;
  machine.Advance(2h);
  EXPECT_TRUE(machine.log.Contains("not what it should be", LogLevel::kError));
  EXPECT_LE(machine.database.scans - before, 2) << "one for the snapshot, one to compare";
  EXPECT_EQ(proven(), Txid{10});
}

TEST_F(ProverTest, BuildsTheChecksumsAgainThatSomebodyRemoved) {
  Start();
  Work(3);
  machine.Advance(2h);
  ASSERT_EQ(proven(), Txid{3});
  ASSERT_OK_AND_ASSIGN(const auto entries, fs.List("/host/runnel"));
  int removed = 0;
  for (const auto& entry : entries) {
    if (!entry.name.starts_with("proof-")) continue;
    ASSERT_OK(fs.Remove(fs::Path("/host/runnel") / entry.name));
    ++removed;
  }
  ASSERT_EQ(removed, 1);
  Work(2);
  machine.Advance(2h);
  EXPECT_EQ(proven(), Txid{5});
}

TEST_F(ProverTest, IsOffWhereRequestsAreBilled) {
  store::MemoryStore billed(
      clock, {.conditional_writes = true, .bills_requests = true, .timestamps_in_list = false});
  auto target = machine.Target(billed);
  target.settings.proof = ProofMode::kAutomatic;
  machine.Start({target});
  machine.Run();
  Work(3);
  EXPECT_EQ(proven(), Txid{0});
  EXPECT_EQ(machine.database.scans, 0);
}

}  // namespace
}  // namespace runnel::replicate
