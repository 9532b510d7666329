#include "sqlite/wal_index.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "sqlite/wal_index_layout.h"
#include "testing/live_database.h"

namespace runnel::sqlite {
namespace {

using testing::App;
using testing::HeldSlots;

class WalIndexTest : public testing::LiveDatabaseTest {
 protected:
  // An idle connection that has seen the WAL.
  std::unique_ptr<Connection> OpenReady() {
    auto connection = Open();
    EXPECT_OK(connection->Begin());
    EXPECT_OK(connection->Rollback());
    return connection;
  }

  static std::byte* Region(Connection& connection) {
    sqlite3_file* file = connection.wal_index_file();
    volatile void* region = nullptr;
    EXPECT_EQ(file->pMethods->xShmMap(file, 0, kWalIndexRegionSize, 0, &region), SQLITE_OK);
    return static_cast<std::byte*>(const_cast<void*>(region));
  }
};

std::uint32_t MaxFrame(const LiveWalIndex& live) {
  return GetInt<std::uint32_t>(live.header, kMaxFrameOffset, kHostOrder);
}

TEST_F(WalIndexTest, TheLayoutIsTheOneOfTheSqliteThatIsLinked) {
  const testing::TempDir scratch;
  EXPECT_OK(SelfTestWalIndexLayout(file_system_, scratch.path()));
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

TEST_F(WalIndexTest, TheSelfTestSaysWhyItCannotRun) {
  EXPECT_FAILS(Errc::kNotFound,
               SelfTestWalIndexLayout(file_system_, directory_.path() / "missing"));
}

TEST_F(WalIndexTest, ShowsACommitWithoutATransaction) {
  App app(path_);
  const auto connection = OpenReady();
  ASSERT_OK_AND_ASSIGN(const LiveWalIndex before, ReadLiveWalIndex(*connection));
  app.Run("INSERT INTO t VALUES(2)");
  ASSERT_OK_AND_ASSIGN(const LiveWalIndex after, ReadLiveWalIndex(*connection));
  EXPECT_EQ(MaxFrame(after), MaxFrame(before) + 1);
  EXPECT_EQ(after.backfilled, 0U);
}

TEST_F(WalIndexTest, DoesNotShowWhatIsNotCommitted) {
  App app(path_);
  app.Run("PRAGMA cache_size=2");
  const auto connection = OpenReady();
  ASSERT_OK_AND_ASSIGN(const LiveWalIndex before, ReadLiveWalIndex(*connection));
  app.Run("BEGIN");
  for (int i = 0; i < 50; ++i) app.Run("INSERT INTO t VALUES(randomblob(4000))");
  ASSERT_GT(std::filesystem::file_size(path_.native() + "-wal"), 20U * 4096U);  // it has spilled
  ASSERT_OK_AND_ASSIGN(const LiveWalIndex during, ReadLiveWalIndex(*connection));
  EXPECT_EQ(during.header, before.header);
  app.Run("COMMIT");
  ASSERT_OK_AND_ASSIGN(const LiveWalIndex after, ReadLiveWalIndex(*connection));
  EXPECT_GT(MaxFrame(after), MaxFrame(before) + 20);
}

TEST_F(WalIndexTest, IsAlwaysWholeBesideAWriter) {
  App app(path_);
  const auto connection = OpenReady();
  app.Run("PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=50");
  std::atomic<bool> enough = false;
  std::thread writer([&] {
    while (!enough) app.Run("INSERT INTO t VALUES(1)");
  });
  std::uint64_t last = 0;
  for (int seen = 0; seen < 30;) {
    const auto live = ReadLiveWalIndex(*connection);
    if (!live) {  // it may be caught in the act
      EXPECT_EQ(live.error().code(), Errc::kBusy);
      continue;
    }
    // The first salt counts restarts of the WAL, so position never goes back.
    const auto restarts = GetBigEndian<std::uint32_t>(live->header, kSaltsOffset);
    const std::uint64_t position = (std::uint64_t{restarts} << 32) + MaxFrame(*live);
    EXPECT_GE(position, last);
    if (position != last) ++seen;
    last = position;
  }
  enough = true;
  writer.join();
}

TEST_F(WalIndexTest, AHalfPublishedHeaderIsBusyUntilSomebodyRepairsIt) {
  App app(path_);
  const auto connection = OpenReady();
  app.Run("INSERT INTO t VALUES(2)");
  ASSERT_OK_AND_ASSIGN(const LiveWalIndex whole, ReadLiveWalIndex(*connection));
  std::byte* region = Region(*connection);
  region[kWalIndexHeaderSize + kMaxFrameOffset] ^= std::byte{1};  // in copy 1 only
  EXPECT_FAILS(Errc::kBusy, ReadLiveWalIndex(*connection));
  region[kMaxFrameOffset] ^= std::byte{1};  // in both: the checksum is wrong
  EXPECT_FAILS(Errc::kBusy, ReadLiveWalIndex(*connection));

  ASSERT_OK(connection->Begin());
  ASSERT_OK(connection->Rollback());
  ASSERT_OK_AND_ASSIGN(const LiveWalIndex repaired, ReadLiveWalIndex(*connection));
  EXPECT_EQ(MaxFrame(repaired), MaxFrame(whole));
}

TEST_F(WalIndexTest, RefusesAVersionItDoesNotKnow) {
  const auto connection = OpenReady();
  std::byte* region = Region(*connection);
  WalIndexBytes header;
  std::memcpy(header.data(), region, header.size());
  PutInt(header, kVersionOffset, kWalIndexVersion + 1, kHostOrder);
  std::uint32_t s0 = 0;
  std::uint32_t s1 = 0;
  for (std::size_t at = 0; at < kHeaderChecksumOffset; at += 8) {
    s0 += GetInt<std::uint32_t>(header, at, kHostOrder) + s1;
    s1 += GetInt<std::uint32_t>(header, at + 4, kHostOrder) + s0;
  }
  PutInt(header, kHeaderChecksumOffset, s0, kHostOrder);
  PutInt(header, kHeaderChecksumOffset + 4, s1, kHostOrder);
  std::memcpy(region, header.data(), header.size());
  std::memcpy(region + kWalIndexHeaderSize, header.data(), header.size());
  EXPECT_FAILS(Errc::kUnsupported, ReadLiveWalIndex(*connection));
}

TEST_F(WalIndexTest, TheWriteLockKeepsWritersOutAndReadersIn) {
  App app(path_);
  const auto connection = OpenReady();
  const auto other = OpenReady();
  {
    ASSERT_OK_AND_ASSIGN(WriteLock lock, WriteLock::Take(*connection));
    const WriteLock moved = std::move(lock);
    EXPECT_EQ(app.Try("INSERT INTO t VALUES(2)"), SQLITE_BUSY);
    EXPECT_EQ(app.Get("SELECT count(*) FROM t"), "1");
    EXPECT_OK(other->Begin());
    EXPECT_OK(other->Rollback());
    EXPECT_FAILS(Errc::kBusy, WriteLock::Take(*other));
    EXPECT_EQ(HeldSlots(*other), std::set<int>{});  // unlike a BEGIN IMMEDIATE
  }
  EXPECT_EQ(app.Try("INSERT INTO t VALUES(2)"), SQLITE_OK);
}

TEST_F(WalIndexTest, TheWriteLockIsBusyWhileAnApplicationWrites) {
  App app(path_);
  const auto connection = OpenReady();
  app.Run("BEGIN IMMEDIATE");
  EXPECT_FAILS(Errc::kBusy, WriteLock::Take(*connection));
  app.Run("COMMIT");
  EXPECT_OK(WriteLock::Take(*connection));
}

TEST_F(WalIndexTest, ProbesTellHeldFromFree) {
  App app(path_);
  const auto connection = OpenReady();
  EXPECT_EQ(*ProbeWriteLock(*connection), LockState::kFree);
  EXPECT_EQ(*ProbeCheckpointLock(*connection), LockState::kFree);
  app.Run("BEGIN IMMEDIATE");
  EXPECT_EQ(*ProbeWriteLock(*connection), LockState::kHeld);
  EXPECT_EQ(*ProbeCheckpointLock(*connection), LockState::kFree);
  app.Run("ROLLBACK");
  EXPECT_EQ(*ProbeWriteLock(*connection), LockState::kFree);
}

}  // namespace
}  // namespace runnel::sqlite
