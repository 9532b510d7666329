#include "replicate/destination.h"

#include <gmock/gmock.h>

#include "testing/replica_world.h"

namespace runnel::replicate {
namespace {

using namespace std::chrono_literals;
using testing::Machine;

class DestinationTest : public testing::ReplicateTest {
 protected:
  // A replica with three cuts.
  void SetUp() override {
    machine.Start({machine.Target(store)});
    machine.Run();
    for (int i = 0; i < 3; ++i) {
      machine.database.Commit();
      machine.Advance(2s);
    }
    machine.Stop();
    ASSERT_OK(destination.Connect(machine.database.staging()));
  }

  Machine machine{clock, fs, random, "host"};
  Destination destination{{},
                          store,
                          layout,
                          {.host = "host", .boot_id = "b", .database = "d"},
                          LocalFiles{.spool_folder = "/spool", .ownership = {}},
                          Environment{.fs = fs,
                                      .clock = clock,
                                      .random = random,
                                      .log = machine.log,
                                      .scheduler = machine.scheduler}};
};

TEST_F(DestinationTest, ASnapshotHasToEndBeyondEveryDamage) {
  const auto damage_at = [&](std::uint64_t txid) {
    destination.RequireSnapshot(
        {.urgency = SnapshotUrgency::kSoon, .beyond = Txid{txid}, .reason = "damaged"});
  };
  damage_at(1);
  damage_at(2);
  damage_at(1);
  ASSERT_TRUE(destination.snapshot_need());
  EXPECT_EQ(destination.snapshot_need()->beyond, Txid{2});
}

TEST_F(DestinationTest, StartingOverDoesNotForgetWhatIsDamaged) {
  destination.RequireSnapshot(
      {.urgency = SnapshotUrgency::kSoon, .beyond = Txid{2}, .reason = "damaged"});
  ASSERT_OK(destination.Connect(machine.database.staging()));
  ASSERT_TRUE(destination.snapshot_need());
  EXPECT_EQ(destination.snapshot_need()->reason, "damaged");
  EXPECT_EQ(destination.state(), DestinationState::kReplicating);
}

// Nothing leads to its newest object.
TEST_F(DestinationTest, AReplicaWithoutABeginningNeedsASnapshot) {
  for (const std::string& name : Names("db/ltx/")) {
    const store::ObjectKey key(name);
    ASSERT_OK(memory.Delete(std::span(&key, 1)));
  }
  ltx::Header header = ltx::testing::IncrementalHeader(testing::kPageSize, 1, 5);
  header.max_txid = Txid{9};
  const Bytes body = ltx::testing::Encode(header, {{PageNo{1}, Bytes(testing::kPageSize)}}).value();
  ASSERT_OK(store::PutObject(memory, layout.LtxKey(Level{1}, {.min = Txid{5}, .max = Txid{9}}),
                             body, {}));
  ASSERT_OK(destination.Connect(machine.database.staging()));
  EXPECT_EQ(destination.state(), DestinationState::kNeedsSnapshot);
  ASSERT_TRUE(destination.snapshot_need());
  EXPECT_EQ(destination.snapshot_need()->beyond, Txid{9});
}

}  // namespace
}  // namespace runnel::replicate
