// A cut that rots on the local disk, after it was synced there, reaches no replica and stops none.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <array>

#include "replicate/replica_set.h"
#include "testing/replica_world.h"

namespace runnel::replicate {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Machine;
using ::testing::Not;
using testing::RestoreFrom;
using ::testing::SizeIs;

std::string FileOf(Txid txid) { return store::LtxFileName({.min = txid, .max = txid}); }

class RottenCutTest : public testing::ReplicateTest {
 protected:
  void Start() {
    machine.Start({machine.Target(store)});
    machine.Run();
  }
  void Work(int cuts) {
    for (int i = 0; i < cuts; ++i) {
      machine.database.Commit();
      machine.Advance(1s);
    }
  }

  std::uint64_t SizeOf(Txid txid) { return fs.Stat("/host/ltx/0/" + FileOf(txid))->size_bytes; }

  void Rot(Txid txid, std::uint64_t offset) {
    ASSERT_OK_AND_ASSIGN(const auto file,
                         fs.Open("/host/ltx/0/" + FileOf(txid), fs::OpenMode::kReadWrite));
    std::array<std::byte, 1> byte;
    ASSERT_OK(file->ReadAt(offset, byte));
    byte[0] ^= std::byte{0x10};
    ASSERT_OK(file->WriteAt(offset, byte));
    ASSERT_OK(file->Sync());
  }
  // In the middle of its pages.
  void Rot(Txid txid) { Rot(txid, SizeOf(txid) / 2); }

  void ExpectWhole() {
    EXPECT_EQ(machine.set->durable_txid(), machine.database.newest());
    ExpectRestores(machine.database, machine.database.newest());
    const auto restored = RestoreFrom(memory, layout);
    ASSERT_OK(restored);
    EXPECT_TRUE(restored->pages == machine.database.pages());
  }

  Machine machine{clock, fs, random, "host"};
};

TEST_F(RottenCutTest, IsNotUploadedAndASnapshotBridgesIt) {
  Start();
  Work(5);
  machine.database.Commit();
  Rot(Txid{6});
  machine.database.Commit();
  machine.Advance(5s);
  EXPECT_THAT(Names("db/ltx/0/"), Not(Contains(HasSubstr(FileOf(Txid{6})))));
  EXPECT_THAT(Names("db/ltx/9/"), SizeIs(1));
  EXPECT_TRUE(machine.log.Contains("/host/ltx/0/" + FileOf(Txid{6}), LogLevel::kWarn));
  ExpectWhole();
  EXPECT_EQ(machine.database.scans, 1);
  // Cut by cut from here.
  Work(5);
  ExpectWhole();
  EXPECT_THAT(Names("db/ltx/9/"), SizeIs(1));
  EXPECT_EQ(machine.database.scans, 1);
}

// What its header says is no more to be believed than its pages: the snapshot ends behind it,
// though the application writes nothing more.
TEST_F(RottenCutTest, WhicheverByteRotsTheReplicaBecomesWholeWithoutAnotherCommit) {
  Start();
  Work(2);
  std::uint64_t offset = 0;
  for (; !HasFailure(); offset += offset < ltx::kHeaderSize ? 1 : 13) {
    const Txid txid = machine.database.Commit();
    if (offset >= SizeOf(txid)) break;
    SCOPED_TRACE(fmt::format("byte {} of txid {}", offset, ToInt(txid)));
    Rot(txid, offset);
    machine.Advance(10s);
    ASSERT_THAT(Names("db/ltx/0/"), Not(Contains(HasSubstr(FileOf(txid)))));
    ExpectWhole();
    Work(1);
    ExpectWhole();
  }
  EXPECT_GT(offset, ltx::kHeaderSize + testing::kPageSize);
}

TEST_F(RottenCutTest, SoIsTheFullCopyThatWasToBridgeIt) {
  Start();
  Work(2);
  machine.database.Commit();
  Rot(Txid{3});
  clock.Advance(1s);
  while (machine.database.newest() == Txid{3}) ASSERT_TRUE(machine.scheduler.RunOne());
  ASSERT_EQ(machine.database.comparisons, 1);
  Rot(Txid{4});
  machine.database.Commit();
  machine.Advance(10s);
  EXPECT_TRUE(machine.log.Contains("the database is scanned", LogLevel::kWarn));
  ExpectWhole();
}

TEST_F(RottenCutTest, IsMetOnceNotEverySecond) {
  Start();
  Work(2);
  machine.database.Commit();
  Rot(Txid{3});
  machine.Advance(1s);
  const std::uint64_t before = store.call_count();
  machine.Advance(20s);
  EXPECT_LT(store.call_count() - before, 20U);
  EXPECT_EQ(machine.set->status()[0].error, std::nullopt);
}

TEST_F(RottenCutTest, CutShortItIsRottenToo) {
  Start();
  Work(2);
  machine.database.Commit();
  {
    ASSERT_OK_AND_ASSIGN(const auto file,
                         fs.Open("/host/ltx/0/" + FileOf(Txid{3}), fs::OpenMode::kReadWrite));
    ASSERT_OK(file->Truncate(50));
  }
  machine.Advance(10s);
  EXPECT_THAT(Names("db/ltx/0/"), Not(Contains(HasSubstr(FileOf(Txid{3})))));
  ExpectWhole();
}

// Nothing is in the replica yet, and the first cut has every page.
TEST_F(RottenCutTest, TheFirstOneIsBridgedToo) {
  Start();
  ASSERT_EQ(machine.database.Commit(), Txid{1});
  Rot(Txid{1});
  machine.database.Commit();
  machine.Advance(10s);
  EXPECT_THAT(Names("db/ltx/0/"), Not(Contains(HasSubstr(FileOf(Txid{1})))));
  ExpectWhole();
}

// One whose upload went well may rot before it is merged: the replica has it whole.
TEST_F(RottenCutTest, ItsCompactionReadsTheReplicaAndBlamesTheLocalFile) {
  Start();
  Work(4);
  ASSERT_THAT(Names("db/ltx/1/"), IsEmpty());
  Rot(Txid{3});
  machine.Advance(60s);
  EXPECT_THAT(Names("db/ltx/1/"), Not(IsEmpty()));
  EXPECT_FALSE(machine.log.Contains("the replica is damaged"));
  EXPECT_TRUE(machine.log.Contains("a staged cut is damaged", LogLevel::kWarn));
  EXPECT_THAT(Names("db/ltx/9/"), IsEmpty());
  ExpectWhole();
}

}  // namespace
}  // namespace runnel::replicate
