// What a replica set does after an error: not nothing, and not the same at once.

#include <gmock/gmock.h>

#include <functional>

#include "replicate/replica_set.h"
#include "testing/pausing_store.h"
#include "testing/replica_world.h"

namespace runnel::replicate {
namespace {

using namespace std::chrono_literals;
using testing::Machine;

class ReplicaSetRetryTest : public testing::ReplicateTest {
 protected:
  Machine machine{clock, fs, random, "host"};
};

TEST_F(ReplicaSetRetryTest, AScanThatNeverSucceedsIsTriedLessAndLess) {
  machine.Start({machine.Target(store)});
  machine.Run();
  machine.database.Commit();
  machine.Run();
  machine.database.Commit();
  machine.Run();
  clock.Advance(24h);
  const int before = machine.database.scans;
  for (int i = 0; i < 3600; ++i) {
    while (machine.scheduler.RunOne()) machine.database.LoseContinuity();
    clock.Advance(1s);
  }
  EXPECT_GE(machine.database.scans - before, 10);
  EXPECT_LE(machine.database.scans - before, 30);
  // Once it succeeds all is forgotten.
  machine.Advance(10min);
  EXPECT_THAT(Names("db/ltx/9/"), ::testing::SizeIs(1));
}

TEST_F(ReplicaSetRetryTest, ThePauseBeginsWhenATryEndsHoweverLongItTook) {
  runnel::testing::PausingStore slow(store);
  auto target = machine.Target(slow);
  target.settings.level_intervals.clear();  // nothing but uploads
  target.settings.snapshot_interval = 0s;
  machine.Start({target});
  machine.Run();
  machine.database.Commit();
  machine.Run();
  clock.Advance(2s);
  store.FailFrom(1);
  const std::function<void()> wait = [&] {
    clock.Advance(10min);
    slow.At(slow.call_count() + 1, wait);
  };
  slow.At(slow.call_count() + 1, wait);
  machine.database.Commit();
  for (int i = 0; i < 20; ++i) machine.scheduler.RunOne();
  ASSERT_GT(machine.set->status()[0].counters.errors, 0U);
  ASSERT_TRUE(machine.scheduler.next_deadline().has_value());
  EXPECT_GT(*machine.scheduler.next_deadline(), clock.MonotonicNow());
}

TEST_F(ReplicaSetRetryTest, ADamagedNewestObjectIsBridgedThoughTheDatabaseRests) {
  machine.database.cut_on_adoption = true;
  machine.Start({machine.Target(store)});
  machine.Run();
  for (int i = 0; i < 5; ++i) {
    machine.database.Commit();
    machine.Advance(2s);
  }
  machine.Stop();
  const store::ObjectKey key = layout.LtxKey(kLevelCut, {.min = Txid{5}, .max = Txid{5}});
  Bytes body = store::ReadObject(memory, key, 1 << 20).value();
  body[0] ^= std::byte{1};
  ASSERT_OK(store::PutObject(memory, key, body, {}));
  machine.Start({machine.Target(store)});
  machine.Advance(1min);
  EXPECT_EQ(machine.set->status()[0].state, DestinationState::kReplicating);
  ExpectRestores(machine.database, machine.database.newest());
  EXPECT_EQ(machine.database.comparisons, 1);
}

}  // namespace
}  // namespace runnel::replicate
