// Two daemons and one path: whenever one is stopped and the other takes over, one of them ends up
// with the path, the other knows that it lost it, and no object of the winner is ever replaced.

#include <gmock/gmock.h>

#include <map>

#include "replicate/replica_set.h"
#include "testing/pausing_store.h"
#include "testing/replica_world.h"

namespace runnel::replicate {
namespace {

using namespace std::chrono_literals;
using runnel::testing::PausingStore;
using testing::Machine;
using testing::RestoreFrom;

class TakeoverTest : public testing::ReplicateTest {
 protected:
  DestinationTarget Target(Machine& machine, store::ObjectStore& target) {
    DestinationTarget made = machine.Target(target);
    made.settings.level_intervals = {30s, 2min};
    made.settings.l0_retention = 1min;
    made.settings.snapshot_interval = 5min;
    made.settings.snapshot_retention = 5min;
    return made;
  }

  static void Work(Machine& machine, int cuts) {
    for (int i = 0; i < cuts; ++i) {
      machine.database.Commit();
      machine.Advance(7s);
    }
  }

  static std::map<std::string, Bytes> CutsIn(store::ObjectStore& target) {
    std::map<std::string, Bytes> cuts;
    const auto objects = store::ListAll(target, "db/ltx/0/");
    EXPECT_OK(objects);
    for (const auto& object : *objects) {
      cuts[object.key.text()] = store::ReadObject(target, object.key, 1 << 20).value();
    }
    return cuts;
  }
};

// How long the newcomer has the path before the incumbent wakes: not even a cut, a few, and long
// enough that every object the incumbent knew is compacted and deleted.
class PausedWriterTest : public TakeoverTest, public ::testing::WithParamInterface<int> {};

TEST_P(PausedWriterTest, NeverWinsAndNeverReplaces) {
  std::uint64_t calls = 1;
  for (std::uint64_t n = 1; n <= calls; ++n) {
    SCOPED_TRACE(::testing::Message() << "paused at call " << n);
    store::MemoryStore path(clock);
    runnel::testing::MemoryFileSystem disk(clock);
    PausingStore paused(path);
    Machine incumbent(clock, disk, random, "incumbent");
    Machine newcomer(clock, disk, random, "newcomer");
    std::map<std::string, Bytes> cuts_of_newcomer;
    paused.At(n, [&] {
      newcomer.Start({Target(newcomer, path)});
      newcomer.Run();
      newcomer.database.Change();
      Work(newcomer, GetParam());
      cuts_of_newcomer = CutsIn(path);
    });
    incumbent.Start({Target(incumbent, paused)});
    incumbent.Run();
    Work(incumbent, 8);
    calls = std::max(calls, n == 1 ? std::uint64_t{120} : n);
    if (paused.call_count() < n) break;
    // Neither may stop the other's objects from being what they were when they were written.
    for (const auto& [name, body] : CutsIn(path)) {
      const auto before = cuts_of_newcomer.find(name);
      if (before != cuts_of_newcomer.end()) EXPECT_TRUE(before->second == body) << name;
    }
    Work(newcomer, 3);
    Work(incumbent, 3);
    newcomer.Advance(6min);
    incumbent.Advance(6min);
    Work(newcomer, 1);
    Work(incumbent, 1);
    newcomer.Advance(10min);
    incumbent.Advance(10min);

    const bool incumbent_fenced = incumbent.set->status()[0].state == DestinationState::kFenced;
    const bool newcomer_fenced = newcomer.set->status()[0].state == DestinationState::kFenced;
    ASSERT_NE(incumbent_fenced, newcomer_fenced) << "exactly one has the path";
    const Machine& winner = incumbent_fenced ? newcomer : incumbent;
    EXPECT_EQ(winner.set->durable_txid(), winner.database.newest());
    const auto restored = RestoreFrom(path, layout);
    ASSERT_OK(restored);
    ASSERT_EQ(restored->txid, winner.database.newest());
    EXPECT_TRUE(restored->pages == winner.database.pages());
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Cuts, PausedWriterTest, ::testing::Values(0, 1, 30),
                         [](const auto& info) { return std::to_string(info.param); });

TEST_F(TakeoverTest, ASleeperMeetsTheFirstObjectOfTheEpochThoughAllOthersAreDeleted) {
  PausingStore paused(memory);
  Machine incumbent(clock, fs, random, "incumbent");
  Machine newcomer(clock, fs, random, "newcomer");
  incumbent.Start({Target(incumbent, paused)});
  incumbent.Run();
  Work(incumbent, 3);
  // The incumbent has seen its claim, begins to write txid 4, and sleeps for an hour.
  incumbent.database.Commit();
  paused.At(paused.call_count() + 3, [&] {
    newcomer.Start({Target(newcomer, memory)});
    newcomer.Run();
    Work(newcomer, 30);
    newcomer.Advance(1h);
  });
  incumbent.Run();
  const auto names = Names("db/ltx/0/");
  EXPECT_THAT(names, ::testing::ElementsAre("db/ltx/0/0000000000000004-0000000000000004.ltx",
                                            "db/ltx/0/0000000000000021-0000000000000021.ltx"));
  EXPECT_EQ(incumbent.set->status()[0].state, DestinationState::kFenced);
  EXPECT_EQ(incumbent.set->durable_txid(), Txid{3});
  ExpectRestores(newcomer.database, Txid{0x21});
}

TEST_F(TakeoverTest, AFirstObjectIsKeptUntilTheNextEpochHasOne) {
  Machine machine(clock, fs, random, "host");
  machine.Start({Target(machine, memory)});
  machine.Run();
  Work(machine, 30);
  machine.Advance(1h);
  EXPECT_EQ(Names("db/ltx/0/").front(), "db/ltx/0/0000000000000001-0000000000000001.ltx");
  machine.Stop();
  machine.Start({Target(machine, memory)});
  machine.Advance(1h);
  EXPECT_EQ(Names("db/ltx/0/").front(), "db/ltx/0/0000000000000001-0000000000000001.ltx");
  Work(machine, 2);
  machine.Advance(1h);
  EXPECT_EQ(Names("db/ltx/0/").front(), "db/ltx/0/000000000000001f-000000000000001f.ltx");
}

TEST_F(TakeoverTest, WithoutConditionalWritesTheClaimIsReadBeforeEachBatch) {
  store::MemoryStore plain(
      clock, {.conditional_writes = false, .bills_requests = false, .timestamps_in_list = true});
  Machine incumbent(clock, fs, random, "incumbent");
  Machine newcomer(clock, fs, random, "newcomer");
  incumbent.Start({Target(incumbent, plain)});
  incumbent.Run();
  Work(incumbent, 3);
  newcomer.Start({Target(newcomer, plain)});
  newcomer.Run();
  newcomer.database.Commit();
  newcomer.Run();
  const auto before = CutsIn(plain);
  incumbent.database.Commit();
  incumbent.Run();
  EXPECT_TRUE(CutsIn(plain) == before);
  EXPECT_EQ(incumbent.set->status()[0].state, DestinationState::kFenced);
}

// A program that knows no claims, as Litestream, writes under the number that is next.
TEST_F(TakeoverTest, AStrangersObjectIsFollowedNotReplaced) {
  Machine machine(clock, fs, random, "host");
  machine.Start({Target(machine, memory)});
  machine.Run();
  Work(machine, 3);
  const store::ObjectKey key = layout.LtxKey(kLevelCut, {.min = Txid{4}, .max = Txid{4}});
  ltx::Header header = ltx::testing::IncrementalHeader(testing::kPageSize, 1, 4);
  const Bytes body = ltx::testing::Encode(header, {{PageNo{1}, Bytes(testing::kPageSize)}}).value();
  ASSERT_OK(store::PutObject(memory, key, body, {}));
  machine.database.cut_on_adoption = true;
  machine.database.Commit();
  machine.Advance(1min);
  EXPECT_TRUE(store::ReadObject(memory, key, 1 << 20).value() == body);
  EXPECT_TRUE(machine.log.Contains("another program", LogLevel::kWarn));
  machine.database.Commit();
  machine.Advance(10min);
  EXPECT_EQ(machine.set->status()[0].state, DestinationState::kReplicating);
  ExpectRestores(machine.database, machine.database.newest());
}

// Between two tries of its own to start over, an incumbent has no more right to the path than any
// other daemon that was there before the newcomer.
TEST_F(TakeoverTest, AnIncumbentThatStartsOverDoesNotRobANewcomer) {
  Machine incumbent(clock, fs, random, "incumbent");
  Machine newcomer(clock, fs, random, "newcomer");
  incumbent.Start({Target(incumbent, memory)});
  incumbent.Run();
  Work(incumbent, 3);
  const store::ObjectKey key = layout.LtxKey(kLevelCut, {.min = Txid{4}, .max = Txid{4}});
  const ltx::Header header = ltx::testing::IncrementalHeader(testing::kPageSize, 1, 4);
  const Bytes body = ltx::testing::Encode(header, {{PageNo{1}, Bytes(testing::kPageSize)}}).value();
  ASSERT_OK(store::PutObject(memory, key, body, {}));
  incumbent.database.Commit();
  incumbent.Run();
  ASSERT_EQ(incumbent.set->status()[0].state, DestinationState::kConnecting);

  newcomer.Start({Target(newcomer, memory)});
  newcomer.Run();
  newcomer.database.Commit();
  newcomer.Run();
  incumbent.Advance(1min);
  EXPECT_EQ(incumbent.set->status()[0].state, DestinationState::kFenced);
  Work(newcomer, 3);
  EXPECT_EQ(newcomer.set->status()[0].state, DestinationState::kReplicating);
  ExpectRestores(newcomer.database, newcomer.database.newest());
}

// Another job of the same destination reads the claim while the listing goes on.
TEST_F(TakeoverTest, BeingFencedWhileConnectingIsForGood) {
  PausingStore paused(memory);
  Machine incumbent(clock, fs, random, "incumbent");
  Machine newcomer(clock, fs, random, "newcomer");
  const Environment environment{.fs = fs,
                                .clock = clock,
                                .random = random,
                                .log = incumbent.log,
                                .scheduler = incumbent.scheduler};
  Destination destination({}, paused, layout,
                          {.host = "incumbent", .boot_id = "b", .database = "d"},
                          LocalFiles{.spool_folder = "/spool", .ownership = {}}, environment);
  paused.At(8, [&] {
    newcomer.Start({Target(newcomer, memory)});
    newcomer.Run();
    clock.Advance(1min);
    EXPECT_FAILS(Errc::kFenced, destination.EnsureClaimed());
  });
  EXPECT_FAILS(Errc::kFenced, destination.Connect(incumbent.database.staging()));
  ASSERT_GT(paused.call_count(), 8U);
  EXPECT_EQ(destination.state(), DestinationState::kFenced);
}

// Stopped anywhere in a merge but between the last look at the claim and the commit itself.
TEST_F(TakeoverTest, AMergeThatIsStoppedWritesNothingOnceTheReplicaIsLost) {
  int written_too_late = 0;
  bool was_stopped = true;
  for (std::uint64_t n = 1; was_stopped; ++n) {
    SCOPED_TRACE(::testing::Message() << "stopped at call " << n);
    store::MemoryStore path(clock);
    runnel::testing::MemoryFileSystem disk(clock);
    PausingStore paused(path);
    Machine incumbent(clock, disk, random, "incumbent");
    Machine newcomer(clock, disk, random, "newcomer");
    incumbent.Start({incumbent.Target(paused)});
    incumbent.Run();
    for (int i = 0; i < 3; ++i) {
      incumbent.database.Commit();
      incumbent.Advance(1s);
    }
    const auto merged = [&] { return store::ListAll(path, "db/ltx/1/").value().size(); };
    ASSERT_EQ(merged(), 0U);
    was_stopped = false;
    auto target = newcomer.Target(path);
    target.settings.level_intervals.clear();  // what is merged, the incumbent has merged
    paused.At(paused.call_count() + n, [&] {
      was_stopped = merged() == 0;
      newcomer.Start({target});
      newcomer.Run();
    });
    incumbent.Advance(31s);
    if (!was_stopped) break;
    if (merged() != 0) {
      ++written_too_late;
    } else {
      EXPECT_EQ(incumbent.set->status()[0].state, DestinationState::kFenced);
    }
    newcomer.database.Commit();
    newcomer.Advance(1h);
    const auto restored = RestoreFrom(path, layout);
    ASSERT_OK(restored);
    EXPECT_TRUE(restored->pages == newcomer.database.pages());
  }
  EXPECT_EQ(written_too_late, 1) << "at the commit itself";
}

TEST_F(TakeoverTest, ASnapshotShowsNothingThatIsNotUploaded) {
  Machine machine(clock, fs, random, "host");
  auto target = machine.Target(memory);
  target.settings.sync_interval = 1min;
  target.settings.snapshot_interval = 1h;
  machine.Start({target});
  machine.Run();
  machine.database.Commit();
  machine.Advance(2h);
  const std::string first = "db/ltx/9/0000000000000001-0000000000000001.ltx";
  ASSERT_THAT(Names("db/ltx/9/"), ::testing::ElementsAre(first));
  machine.database.Commit();
  machine.database.Change();  // the scan sees it, and has it cut
  machine.Run();
  ASSERT_EQ(machine.set->durable_txid(), Txid{2});
  EXPECT_EQ(machine.database.newest(), Txid{3});
  EXPECT_THAT(Names("db/ltx/9/"), ::testing::ElementsAre(first));
  machine.Advance(1min);
  EXPECT_EQ(machine.set->durable_txid(), Txid{3});
  EXPECT_THAT(Names("db/ltx/9/"),
              ::testing::ElementsAre(first, "db/ltx/9/0000000000000001-0000000000000003.ltx"));
}

// The one object that can be of another history: a snapshot that takes the place of cuts.
TEST_F(TakeoverTest, ASleepersSnapshotOfAnotherHistoryIsSwept) {
  Machine incumbent(clock, fs, random, "incumbent");
  incumbent.Start({incumbent.Target(memory)});
  incumbent.Run();
  for (int i = 0; i < 20; ++i) {
    incumbent.database.Commit();
    incumbent.Advance(1min);
  }
  incumbent.Stop();
  // A second replica, whose cuts are gone.
  store::MemoryStore path(clock);
  std::uint64_t n = 1;
  for (bool landed = false; !landed; ++n) {
    ASSERT_LT(n, 100U);
    for (const auto& object : store::ListAll(path, "").value()) {
      ASSERT_OK(path.Delete(std::span(&object.key, 1)));
    }
    PausingStore paused(path);
    Machine other(clock, fs, random, "other-" + std::to_string(n));
    paused.At(n, [&] {
      other.Start({other.Target(path)});
      other.Run();
      other.database.Commit();
      other.Run();
    });
    incumbent.Start({incumbent.Target(paused)});
    incumbent.Advance(5s);
    const auto restored = RestoreFrom(path, layout);
    landed = restored && other.set &&
             incumbent.set->status()[0].epoch < other.set->status()[0].epoch &&
             restored->txid > other.database.newest();
    if (!landed) {
      incumbent.Stop();
      continue;
    }
    incumbent.database.Commit();
    incumbent.Advance(5s);
    EXPECT_EQ(incumbent.set->status()[0].state, DestinationState::kFenced)
        << "before it has written a cut";
    EXPECT_TRUE(other.set->status()[0].state == DestinationState::kReplicating);
    other.Advance(2min);
    EXPECT_TRUE(other.log.Contains("has written a snapshot since", LogLevel::kWarn));
    EXPECT_THAT(store::ListAll(path, "db/ltx/0/").value(), ::testing::SizeIs(1));
    const auto swept = RestoreFrom(path, layout);
    ASSERT_OK(swept);
    EXPECT_TRUE(swept->pages == other.database.pages());
    incumbent.Stop();
  }
}

}  // namespace
}  // namespace runnel::replicate
