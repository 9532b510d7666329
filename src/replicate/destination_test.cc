#include "replicate/destination.h"

#include <gmock/gmock.h>

#include "fs/file_operations.h"
#include "replicate/merge_inputs.h"
#include "store/file_store.h"
#include "testing/pausing_store.h"
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

  // Merges cuts 1 to `last` into level 1.
  Result<void> Merge(Txid last) { return Merge(last, destination); }
  Result<void> Merge(Txid last, Destination& into) {
    std::vector<LeveledFile> files;
    for (Txid txid{1}; txid <= last; txid = Next(txid)) {
      files.push_back(into.WithManifest([&](const Manifest& manifest) {
        return LeveledFile{kLevelCut, *manifest.Find(kLevelCut, {.min = txid, .max = txid})};
      }));
    }
    RUNNEL_TRY(const MergeInputs inputs,
               MergeInputs::Open(into, files, machine.database.staging()));
    RUNNEL_TRY_VOID(into.PutMerged(Level{1}, {.min = Txid{1}, .max = last},
                                   files.back().file.timestamp, inputs.sources(), std::nullopt,
                                   stop));
    return {};
  }
  bool HasMerged(Txid last) {
    return destination.WithManifest([&](const Manifest& manifest) {
      return manifest.Find(Level{1}, {.min = Txid{1}, .max = last}).has_value();
    });
  }

  std::atomic<bool> stop{false};
  Machine machine{clock, fs, random, "host"};
  const Environment environment{.fs = fs,
                                .clock = clock,
                                .random = random,
                                .log = machine.log,
                                .scheduler = machine.scheduler};
  Destination destination{{},
                          store,
                          layout,
                          {.host = "host", .boot_id = "b", .database = "d"},
                          LocalFiles{.spool_folder = "/spool", .ownership = {}},
                          environment};
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

TEST_F(DestinationTest, AMergeWhoseReplyWasLostIsFoundNotDeleted) {
  store.CountOnly(runnel::testing::StoreCall::kCommit);
  store.At(1, {.kind = runnel::testing::StoreFault::Kind::kLoseReply});
  EXPECT_FAILS(Errc::kUnavailable, Merge(Txid{2}));
  store.Heal();
  store.CountOnly(runnel::testing::StoreCall::kDelete);
  ASSERT_OK(destination.SettleDoubtful(Level{1}));
  EXPECT_TRUE(HasMerged(Txid{2}));
  EXPECT_EQ(store.call_count(), 0U);
}

TEST_F(DestinationTest, AMergeThatDidNotArriveIsForgotten) {
  store.CountOnly(runnel::testing::StoreCall::kCommit);
  store.At(1, {});
  EXPECT_FAILS(Errc::kUnavailable, Merge(Txid{2}));
  ASSERT_OK(destination.SettleDoubtful(Level{1}));
  EXPECT_FALSE(HasMerged(Txid{2}));
  EXPECT_OK(Merge(Txid{3}));
}

TEST_F(DestinationTest, ADamagedObjectUnderTheNameIsReplacedAndNeverMissing) {
  const store::ObjectKey key = layout.LtxKey(Level{1}, {.min = Txid{1}, .max = Txid{2}});
  ASSERT_OK(store::PutObject(memory, key, AsBytes("damaged"), {}));
  store.Heal();
  store.CountOnly(runnel::testing::StoreCall::kDelete);
  EXPECT_FAILS(Errc::kUnavailable, Merge(Txid{2}));
  EXPECT_EQ(AsText(store::ReadObject(memory, key, 1 << 20).value()), "damaged");
  EXPECT_OK(Merge(Txid{2}));
  EXPECT_GT(store::ReadObject(memory, key, 1 << 20).value().size(), 100U);
  EXPECT_EQ(store.call_count(), 0U);
}

// By another job, on another thread.
TEST_F(DestinationTest, NothingIsListedWhileAnObjectIsOnItsWay) {
  runnel::testing::PausingStore paused(store);
  Destination pausing({}, paused, layout, {.host = "host", .boot_id = "b", .database = "d"},
                      LocalFiles{.spool_folder = "/spool", .ownership = {}}, environment);
  ASSERT_OK(pausing.Connect(machine.database.staging()));
  paused.At(paused.call_count() + 2,
            [&] { EXPECT_FAILS(Errc::kBusy, pausing.Connect(machine.database.staging())); });
  EXPECT_OK(Merge(Txid{2}, pausing));
  EXPECT_OK(pausing.Connect(machine.database.staging()));
}

TEST_F(DestinationTest, WhatADeadDaemonLeftUnfinishedIsSweptByTheNext) {
  const auto leave = [&](const std::string& name) {
    EXPECT_OK(fs.CreateDirectories("/replica/ltx/9", {.mode = 0700}));
    EXPECT_OK(fs::ReplaceFile(fs, "/replica/ltx/9/" + name, {}, {.mode = 0600}));
  };
  leave("0000000000000001-0000000000000009.ltx.0123456789abcdef.tmp");
  leave("0000000000000001-0000000000000009.ltx.tmp");  // another program's
  clock.Advance(59min);
  leave("0000000000000001-000000000000000a.ltx.0123456789abcdef.tmp");
  clock.Advance(2min);
  store::FileStore files(fs, "/replica", {}, clock, random);
  Destination other({}, files, store::ReplicaLayout(store::LayoutKind::kTree, ""),
                    {.host = "host", .boot_id = "b", .database = "d"},
                    LocalFiles{.spool_folder = "/spool", .ownership = {}}, environment);
  ASSERT_OK(other.Connect(machine.database.staging()));
  std::vector<std::string> left;
  for (const auto& entry : fs.List("/replica/ltx/9").value()) left.push_back(entry.name);
  EXPECT_THAT(left, ::testing::UnorderedElementsAre(
                        "0000000000000001-0000000000000009.ltx.tmp",
                        "0000000000000001-000000000000000a.ltx.0123456789abcdef.tmp"));
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
