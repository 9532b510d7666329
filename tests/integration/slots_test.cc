// What holding a read slot does to an application: the rules that capture is built on.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "integration/protocol_fixture.h"

namespace runnel::integration {
namespace {

using sqlite::CheckpointMode;
using sqlite::ReadSlot;

class SlotsTest : public ProtocolTest {};
INSTANTIATE_TEST_SUITE_P(Protocol, SlotsTest,
                         ::testing::Values(AgentSqlite::kSystem, AgentSqlite::kOurs), SqliteName);

TEST_P(SlotsTest, TheWalDoesNotRestartWhileWeHoldASlotAboveZero) {
  const auto reader = Connect();
  ASSERT_OK(reader->Begin(ReadSlot::kNotZero));
  const Position before = LivePosition(*reader);
  EXPECT_EQ(app_.Do("checkpoint w passive"), "0 2 2");  // all of it: our mark is at the end
  app_.Do("exec w INSERT INTO t(v) VALUES(1)");
  EXPECT_EQ(LivePosition(*reader).salts, before.salts);
  EXPECT_EQ(LivePosition(*reader).max_frame, before.max_frame + 1);
  EXPECT_EQ(app_.Do("checkpoint w restart").substr(0, 1), "5");  // SQLITE_BUSY
  EXPECT_EQ(app_.Do("checkpoint w truncate").substr(0, 1), "5");

  ASSERT_OK(reader->Rollback());
  EXPECT_EQ(app_.Do("checkpoint w passive"), "0 3 3");
  app_.Do("exec w INSERT INTO t(v) VALUES(2)");
  EXPECT_NE(LivePosition(*reader).salts, before.salts);
  EXPECT_EQ(LivePosition(*reader).max_frame, 1U);
}

TEST_P(SlotsTest, NothingIsBackfilledWhileWeHoldSlotZero) {
  const auto reader = Connect();
  app_.Do("checkpoint w passive");
  const Position before = LivePosition(*reader);
  ASSERT_OK(reader->Begin());  // completely backfilled: slot 0
  app_.Do("exec w INSERT INTO t(v) VALUES(1)");
  const Position restarted = LivePosition(*reader);
  EXPECT_NE(restarted.salts, before.salts);  // slot 0 lets the WAL restart, once
  EXPECT_EQ(restarted.max_frame, 1U);

  EXPECT_EQ(app_.Do("checkpoint w passive"), "0 1 0");
  app_.Do("exec w INSERT INTO t(v) VALUES(2)");
  EXPECT_EQ(LivePosition(*reader).salts, restarted.salts);
  EXPECT_EQ(LivePosition(*reader).max_frame, 2U);
  EXPECT_EQ(Live(*reader).backfilled, 0U);
  EXPECT_EQ(app_.Do("checkpoint w full").substr(0, 1), "5");

  ASSERT_OK(reader->Rollback());
  EXPECT_EQ(app_.Do("checkpoint w passive"), "0 2 2");
}

// Salts name a generation; nothing may be inferred from their difference.
TEST_P(SlotsTest, AnEmptyWalMayRestartAgainUnderSlotZero) {
  const auto reader = Connect();
  EXPECT_EQ(app_.Do("checkpoint w truncate"), "0 0 0");
  ASSERT_OK(reader->Begin());
  const Position first = LivePosition(*reader);
  EXPECT_EQ(first.max_frame, 0U);
  EXPECT_EQ(app_.Do("checkpoint w truncate"), "0 0 0");
  EXPECT_NE(LivePosition(*reader).salts, first.salts);
}

TEST_P(SlotsTest, AnIdleConnectionKeepsTheWalAndWalMode) {
  {
    const auto kept = Connect();
    {
      const auto closed_again = Connect();
    }  // must not take the locks of `kept` with it
    EXPECT_EQ(app_.Ask("exec w PRAGMA journal_mode=DELETE").substr(0, 7), "error 5");
    app_.Do("close w");
    EXPECT_TRUE(std::filesystem::exists(path_.native() + "-wal"));
    EXPECT_GT(std::filesystem::file_size(path_.native() + "-wal"), 0U);
    OpenIn(app_, "w");
    app_.Do("exec w INSERT INTO t(v) VALUES(1)");
  }
  // And nothing of ours is left behind when the daemon goes.
  app_.Do("close w");
  EXPECT_FALSE(std::filesystem::exists(path_.native() + "-wal"));
}

TEST_P(SlotsTest, PageSizeCannotChangeBesideUs) {
  const auto connection = Connect();
  app_.Do("exec w PRAGMA page_size=8192");
  app_.Do("exec w VACUUM");
  EXPECT_EQ(*connection->PageSize(), 4096U);
  EXPECT_EQ(app_.Do("exec w PRAGMA page_size"), "4096");
}

TEST_P(SlotsTest, AnApplicationInExclusiveModeFirstIsBusyForUs) {
  app_.Do("exec w PRAGMA locking_mode=EXCLUSIVE");
  app_.Do("exec w INSERT INTO t(v) VALUES(1)");
  ASSERT_OK_AND_ASSIGN(const auto connection, registry_.Open(path_));
  EXPECT_FAILS(Errc::kBusy, connection->Begin());
  app_.Do("close w");
  EXPECT_OK(connection->Begin());
}

TEST_P(SlotsTest, AnApplicationCannotBecomeExclusiveBesideUs) {
  const auto connection = Connect();
  app_.Do("exec w PRAGMA locking_mode=EXCLUSIVE");
  EXPECT_EQ(app_.Ask("exec w INSERT INTO t(v) VALUES(1)").substr(0, 7), "error 5");
}

TEST_P(SlotsTest, OurWriteLockIsTheApplicationsWriteLock) {
  const auto connection = Connect();
  {
    ASSERT_OK_AND_ASSIGN(const auto lock, sqlite::WriteLock::Take(*connection));
    EXPECT_EQ(app_.Ask("exec w INSERT INTO t(v) VALUES(1)").substr(0, 7), "error 5");
    EXPECT_EQ(app_.Do("exec w SELECT count(*) FROM t"), "0");
    // An application can still checkpoint and the next writer restart: no read slot is ours.
    EXPECT_EQ(app_.Do("checkpoint w passive"), "0 2 2");
  }
  const Position before = LivePosition(*connection);
  app_.Do("exec w INSERT INTO t(v) VALUES(1)");
  EXPECT_NE(LivePosition(*connection).salts, before.salts);
  app_.Do("exec w BEGIN IMMEDIATE");
  EXPECT_FAILS(Errc::kBusy, sqlite::WriteLock::Take(*connection));
}

// Recovery by an application under our read transaction loses nothing that it holds.
TEST_P(SlotsTest, RecoveryUnderOurSlotKeepsPosition) {
  const auto reader = Connect();
  app_.Do("exec w INSERT INTO t(v) VALUES(1)");
  ASSERT_OK(reader->Begin(ReadSlot::kNotZero));
  const Position held = LivePosition(*reader);
  // Damage one copy of the header, as a writer does that dies while it publishes.
  sqlite3_file* file = reader->wal_index_file();
  volatile void* region = nullptr;
  ASSERT_EQ(file->pMethods->xShmMap(file, 0, 32768, 0, &region), SQLITE_OK);
  static_cast<volatile unsigned char*>(region)[48 + 16] ^= 1;
  EXPECT_FAILS(Errc::kBusy, sqlite::ReadLiveWalIndex(*reader));
  EXPECT_EQ(app_.Do("exec w SELECT count(*) FROM t"), "1");  // recovers
  const Position after = LivePosition(*reader);
  EXPECT_EQ(after, held);
  EXPECT_EQ(Live(*reader).backfilled, 0U);
  app_.Do("checkpoint w passive");
  app_.Do("exec w INSERT INTO t(v) VALUES(2)");
  EXPECT_EQ(LivePosition(*reader).salts, held.salts);  // our slot still counts
}

}  // namespace
}  // namespace runnel::integration
