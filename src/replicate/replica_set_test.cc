#include "replicate/replica_set.h"

#include <gmock/gmock.h>

#include "testing/replica_world.h"

namespace runnel::replicate {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::HasSubstr;
using testing::Machine;
using testing::RestoreFrom;
using ::testing::SizeIs;

class ReplicaSetTest : public testing::ReplicateTest {
 protected:
  Machine machine{clock, fs, random, "host"};
};

TEST_F(ReplicaSetTest, FirstCopyIsCutOneWithAllPages) {
  machine.Start({machine.Target(store)});
  machine.Run();
  EXPECT_EQ(machine.database.Commit(), Txid{1});
  machine.Run();
  EXPECT_THAT(Names("db/ltx/"),
              ::testing::ElementsAre("db/ltx/0/0000000000000001-0000000000000001.ltx"));
  ExpectRestores(machine.database, Txid{1});
  EXPECT_EQ(machine.set->durable_txid(), Txid{1});
}

TEST_F(ReplicaSetTest, CutsWaitForTheSyncIntervalAndTheFirstAfterQuietDoesNot) {
  machine.Start({machine.Target(store)});
  machine.Run();
  machine.database.Commit();
  machine.Run();
  ASSERT_EQ(machine.set->durable_txid(), Txid{1});
  machine.Advance(300ms);
  machine.database.Commit();
  machine.Run();
  EXPECT_EQ(machine.set->durable_txid(), Txid{1});
  machine.database.Commit();
  machine.Advance(700ms);
  EXPECT_EQ(machine.set->durable_txid(), Txid{3});
  machine.Advance(10s);
  machine.database.Commit();
  machine.Run();
  EXPECT_EQ(machine.set->durable_txid(), Txid{4});
}

TEST_F(ReplicaSetTest, AnIdleDatabaseMakesNoRequestAndSetsNoTimer) {
  auto target = machine.Target(store);
  target.settings.proof = ProofMode::kOn;
  machine.Start({target});
  machine.Run();
  for (int i = 0; i < 5; ++i) {
    machine.database.Commit();
    machine.Advance(1s);
  }
  machine.Advance(72h);  // compacted, snapshot made, all that can expire is gone
  const std::uint64_t calls = store.call_count();
  machine.Advance(240h);
  EXPECT_EQ(store.call_count(), calls);
  EXPECT_EQ(machine.scheduler.next_deadline(), std::nullopt);
  ExpectRestores(machine.database, Txid{5});
}

TEST_F(ReplicaSetTest, NothingIsListedAfterTheStart) {
  machine.Start({machine.Target(store)});
  machine.Run();
  store.CountOnly(runnel::testing::StoreCall::kList);
  store.FailFrom(1);
  for (int i = 0; i < 200; ++i) {
    machine.database.Commit();
    machine.Advance(30s);
  }
  machine.Advance(48h);
  EXPECT_FALSE(machine.log.Contains("failed"));
  store.Heal();
  ExpectRestores(machine.database, Txid{200});
}

TEST_F(ReplicaSetTest, WaitersAreAnsweredAtOnceWhenDurable) {
  machine.Start({machine.Target(store)});
  machine.Run();
  machine.database.Commit();
  machine.Run();
  const Txid txid = machine.database.Commit();
  int answered = 0;
  machine.set->WaitDurable(txid, [&] { ++answered; });
  EXPECT_EQ(answered, 0);
  machine.Run();  // the clock does not move: no wait for the sync interval
  EXPECT_EQ(answered, 1);
  machine.set->WaitDurable(txid, [&] { ++answered; });
  EXPECT_EQ(answered, 2);
  const auto wait = machine.set->WaitDurable(Next(txid), [&] { ++answered; });
  machine.set->CancelWait(wait);
  machine.database.Commit();
  machine.Advance(5s);
  EXPECT_EQ(answered, 2);
}

TEST_F(ReplicaSetTest, AnUnreachableDestinationKeepsNobodyElse) {
  store::MemoryStore other(clock);
  testing::FaultStore unreachable(other, clock);
  unreachable.FailFrom(1);
  auto second = machine.Target(unreachable, "two");
  auto first = machine.Target(store);
  first.settings.importance = Importance::kRequired;
  machine.Start({first, second});
  machine.Run();
  EXPECT_EQ(machine.database.Commit(), Txid{0}) << "numbers are not known yet";
  machine.Advance(61s);
  const Txid txid = machine.database.Commit();
  ASSERT_EQ(txid, Txid{1});
  machine.Advance(5s);
  EXPECT_EQ(machine.set->durable_txid(), txid);
  for (int i = 0; i < 100; ++i) {
    machine.database.Commit();
    machine.Advance(10s);
  }
  EXPECT_THAT(machine.database.staging().files(), SizeIs(101)) << "kept for the one that is away";
  unreachable.Heal();
  machine.Advance(10min);
  const auto restored = RestoreFrom(other, layout);
  ASSERT_OK(restored);
  EXPECT_EQ(restored->txid, Txid{101});
  EXPECT_TRUE(restored->pages == machine.database.pages());
  EXPECT_THAT(machine.database.staging().files(), SizeIs(1));
}

TEST_F(ReplicaSetTest, LocalHistoryGoesOnWhileNoDestinationAnswers) {
  machine.Start({machine.Target(store)});
  machine.Run();
  machine.database.Commit();
  machine.Run();
  machine.Stop();
  store.FailFrom(1);
  machine.Start({machine.Target(store)});
  machine.Run();
  EXPECT_EQ(machine.database.Commit(), Txid{2});
  machine.Advance(1h);
  EXPECT_EQ(machine.database.Commit(), Txid{3});
  store.Heal();
  machine.Advance(10min);
  ExpectRestores(machine.database, Txid{3});
  EXPECT_EQ(machine.database.scans, 0);
}

TEST_F(ReplicaSetTest, AClockThatJumpsDeletesNothing) {
  machine.Start({machine.Target(store)});
  machine.Run();
  for (int i = 0; i < 20; ++i) {
    machine.database.Commit();
    machine.Advance(1h);
  }
  const auto before = Names("db/ltx/");
  clock.SetWallTime(clock.Now() + 24h * 40);
  machine.database.Commit();
  machine.Advance(20h);
  auto after = Names("db/ltx/");
  for (const std::string& name : before) EXPECT_THAT(after, Contains(name));
  EXPECT_TRUE(machine.log.Contains("clock jumped", LogLevel::kWarn));
  machine.database.Commit();
  machine.Advance(48h);
  EXPECT_LT(Names("db/ltx/").size(), before.size()) << "confirmed by now";
  ExpectRestores(machine.database, Txid{22});
}

TEST_F(ReplicaSetTest, DeletionCanBeSwitchedOff) {
  auto target = machine.Target(store);
  target.settings.deletion = DeletionMode::kNever;
  machine.Start({target});
  machine.Run();
  store.CountOnly(runnel::testing::StoreCall::kDelete);
  const std::uint64_t calls = store.call_count();
  for (int i = 0; i < 100; ++i) {
    machine.database.Commit();
    machine.Advance(1h);
  }
  EXPECT_EQ(store.call_count(), calls);
  ExpectRestores(machine.database, Txid{100});
}

TEST_F(ReplicaSetTest, ARottenObjectIsToldAndBridgedByASnapshot) {
  machine.Start({machine.Target(store)});
  machine.Run();
  for (int i = 0; i < 8; ++i) {
    machine.database.Commit();
    machine.Advance(30s);
  }
  // A level 1 file, before level 2 is made of it.
  const store::ObjectKey key(Names("db/ltx/1/")[3]);
  Bytes body = store::ReadObject(memory, key, 1 << 20).value();
  body[body.size() / 2] ^= std::byte{1};
  ASSERT_OK(store::PutObject(memory, key, body, {}));
  machine.Advance(10min);
  EXPECT_TRUE(machine.log.Contains(key.text(), LogLevel::kError) ||
              machine.log.Contains("damaged", LogLevel::kError));
  EXPECT_EQ(machine.database.scans, 1);
  machine.database.Commit();
  machine.Advance(10min);
  ExpectRestores(machine.database, Txid{9});
}

TEST_F(ReplicaSetTest, WithoutRoomForAScanSnapshotsAreMergedFromTheStore) {
  machine.Start({machine.Target(store)});
  machine.Run();
  for (int i = 0; i < 10; ++i) {
    machine.database.Commit();
    machine.Advance(1min);
  }
  fs.SetCapacity(1 << 20);
  machine.Advance(25h);
  EXPECT_EQ(machine.set->status()[0].counters.snapshots, 1U);
  EXPECT_TRUE(machine.log.Contains("no room for a scan"));
  machine.database.Commit();
  machine.Advance(1min);
  ExpectRestores(machine.database, Txid{11});
}

TEST_F(ReplicaSetTest, ALongScanTakesManyCutsWithIt) {
  machine.database.scan_pages_per_step = 1;
  auto target = machine.Target(store);
  target.settings.snapshot_interval = 1h;
  machine.Start({target});
  machine.Run();
  for (int i = 0; i < 30; ++i) {
    machine.database.Commit();
    machine.Advance(1s);
  }
  // The scan begins, and hundreds of cuts are made between its steps.
  clock.Advance(2h);
  machine.database.set->OnCut();
  while (machine.database.scans == 0) ASSERT_TRUE(machine.scheduler.RunOne());
  for (int i = 0; i < 300; ++i) {
    machine.database.Commit();
    clock.Advance(10ms);
    if (i % 100 == 0) ASSERT_TRUE(machine.scheduler.RunOne());
  }
  machine.Advance(1min);
  EXPECT_THAT(Names("db/ltx/9/"), Contains("db/ltx/9/0000000000000001-000000000000014a.ltx"));
  ExpectRestores(machine.database, Txid{330});
}

TEST_F(ReplicaSetTest, AnotherMachineTakesOverAndTheIncumbentIsFenced) {
  machine.Start({machine.Target(store)});
  machine.Run();
  machine.database.Commit();
  machine.Run();
  Machine newcomer(clock, fs, random, "other");
  newcomer.Start({newcomer.Target(store)});
  newcomer.Run();
  const Txid txid = newcomer.database.Commit();
  EXPECT_EQ(txid, Txid{2}) << "the replica's numbers go on";
  newcomer.Run();
  ExpectRestores(newcomer.database, txid);

  machine.database.Commit();
  machine.Advance(2s);
  ASSERT_EQ(machine.set->status()[0].state, DestinationState::kFenced);
  EXPECT_THAT(machine.set->status()[0].error->message(), HasSubstr("other"));
  EXPECT_TRUE(machine.log.Contains("fenced", LogLevel::kError));
  const std::uint64_t calls = store.call_count();
  machine.database.Commit();
  machine.Advance(100h);
  EXPECT_EQ(store.call_count(), calls) << "a fenced writer writes nothing";
  ExpectRestores(newcomer.database, txid);
}

TEST_F(ReplicaSetTest, AMissingStateFolderContinuesTheNumbersWithAFullCopy) {
  machine.Start({machine.Target(store)});
  machine.Run();
  for (int i = 0; i < 4; ++i) {
    machine.database.Commit();
    machine.Advance(1s);
  }
  machine.Stop();
  Machine again(clock, fs, random, "again");
  again.database.SetPages(machine.database.pages());
  again.Start({again.Target(store)});
  again.Run();
  EXPECT_EQ(again.database.Commit(), Txid{5});
  again.Run();
  ExpectRestores(again.database, Txid{5});
  EXPECT_EQ(again.database.scans, 0);
  again.Advance(100h);
  again.database.Commit();
  again.Advance(100h);
  ExpectRestores(again.database, Txid{6});
}

TEST_F(ReplicaSetTest, AStaleStateFolderContinuesPastTheReplica) {
  machine.Start({machine.Target(store)});
  machine.Run();
  machine.database.Commit();
  machine.Advance(1s);
  machine.Stop();
  Machine other(clock, fs, random, "other");
  other.Start({other.Target(store)});
  other.Run();
  for (int i = 0; i < 3; ++i) {
    other.database.Commit();
    other.Advance(1s);
  }
  other.Stop();
  machine.database.cut_on_adoption = true;
  machine.Start({machine.Target(store)});
  machine.Advance(2s);
  EXPECT_EQ(machine.database.newest(), Txid{5});
  ExpectRestores(machine.database, Txid{5});
}

TEST_F(ReplicaSetTest, SomebodyElsesObjectUnderOurNewestTxidIsFollowedByAFullCopyAtOnce) {
  machine.Start({machine.Target(store)});
  machine.Run();
  machine.database.Commit();
  machine.database.Commit();
  machine.Advance(2s);
  machine.Stop();
  // The same number, another content.
  Machine other(clock, fs, random, "other");
  store::MemoryStore scratch(clock);
  other.Start({other.Target(scratch)});
  other.Run();
  other.database.Commit();
  other.database.Commit();
  other.Advance(2s);
  const store::ObjectKey key = layout.LtxKey(kLevelCut, {.min = Txid{2}, .max = Txid{2}});
  ASSERT_OK_AND_ASSIGN(const Bytes foreign, store::ReadObject(scratch, key, 1 << 20));
  ASSERT_OK(store::PutObject(memory, key, foreign, {}));

  machine.Start({machine.Target(store)});
  machine.Advance(2s);
  EXPECT_EQ(machine.database.comparisons, 1);
  ExpectRestores(machine.database, Txid{3});
  machine.database.Commit();
  machine.Advance(1h);
  ExpectRestores(machine.database, Txid{4});
  EXPECT_EQ(machine.database.comparisons, 1);
}

TEST_F(ReplicaSetTest, ANewDestinationWhoseCutsAreGoneGetsASnapshot) {
  machine.Start({machine.Target(store)});
  machine.Run();
  for (int i = 0; i < 5; ++i) {
    machine.database.Commit();
    machine.Advance(1min);
  }
  ASSERT_THAT(machine.database.staging().files(), SizeIs(1));
  machine.Stop();
  store::MemoryStore second(clock);
  machine.Start({machine.Target(store), machine.Target(second, "two")});
  machine.Advance(2s);
  for (int i = 0; i < 3; ++i) {
    const Txid txid = machine.database.Commit();
    machine.Advance(2s);
    const auto restored = RestoreFrom(second, layout);
    ASSERT_OK(restored);
    EXPECT_EQ(restored->txid, txid);
    EXPECT_TRUE(restored->pages == machine.database.pages());
  }
  EXPECT_EQ(machine.database.scans, 1);
}

TEST_F(ReplicaSetTest, ADestinationLeftBehindByAnAdoptionGetsTheFullCopyAsSnapshot) {
  store::MemoryStore behind(clock);
  machine.Start({machine.Target(store), machine.Target(behind, "two")});
  machine.Run();
  machine.database.Commit();
  machine.Advance(2s);
  machine.Stop();
  Machine other(clock, fs, random, "other");
  other.Start({other.Target(store)});
  other.Run();
  for (int i = 0; i < 3; ++i) {
    other.database.Commit();
    other.Advance(1s);
  }
  other.Stop();
  machine.database.cut_on_adoption = true;
  machine.Start({machine.Target(store), machine.Target(behind, "two")});
  machine.Advance(5s);
  const Txid txid = machine.database.Commit();
  EXPECT_EQ(txid, Txid{6});
  machine.Advance(5s);
  ExpectRestores(machine.database, txid);
  const auto restored = RestoreFrom(behind, layout);
  ASSERT_OK(restored);
  EXPECT_EQ(restored->txid, txid);
  EXPECT_TRUE(restored->pages == machine.database.pages());
  EXPECT_EQ(machine.database.scans, 0) << "the full copy is there already";
}

}  // namespace
}  // namespace runnel::replicate
