// A database that is captured without a break.

#include "tests/capture/live_database.h"

namespace runnel::tests {
namespace {

using std::chrono::milliseconds;
using CaptureTest = LiveDatabaseTest;

TEST_F(CaptureTest, FirstCutHoldsEveryPage) {
  App app(path_);
  app.Run("PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES (randomblob(50000))");
  StartCapture();
  Settle();
  EXPECT_EQ(newest_cut_, Txid{1});
  ExpectStagedEqualsLive();
}

TEST_F(CaptureTest, CommitAfterAQuietIntervalIsCutAtOnceAndTheNextOneWithTheInterval) {
  App app(path_);
  app.Run("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
  StartCapture();
  Settle(milliseconds(5000));
  ASSERT_EQ(newest_cut_, Txid{1});
  app.Run("INSERT INTO t VALUES (1)");
  Settle(milliseconds(50));
  EXPECT_EQ(newest_cut_, Txid{2});
  app.Run("INSERT INTO t VALUES (2)");
  Settle(milliseconds(500));
  EXPECT_EQ(newest_cut_, Txid{2});
  scheduler_->Advance(milliseconds(600));
  EXPECT_EQ(newest_cut_, Txid{3});
  ExpectStagedEqualsLive();
}

TEST_F(CaptureTest, IdleDatabaseCutsNothing) {
  App app(path_);
  app.Run("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
  StartCapture();
  Settle();
  const Txid before = newest_cut_;
  scheduler_->Advance(std::chrono::hours(1));
  EXPECT_EQ(newest_cut_, before);
}

TEST_F(CaptureTest, FollowsManyTransactionsOverManyRestartsOfTheWal) {
  App app(path_);
  app.Run("PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x)");
  options_.checkpoint.threshold_frames = 50;
  StartCapture();
  for (int i = 0; i < 400; ++i) {
    app.Run(
        "INSERT INTO t(x) VALUES (randomblob(3000)); "
        "UPDATE t SET x = randomblob(2000) WHERE id % 17 = " +
        std::to_string(i % 17));
    Settle(milliseconds(30));
  }
  Settle();
  ExpectStagedEqualsLive();
  EXPECT_LT(fs_.Stat(path_.string() + "-wal")->size_bytes, 200U * 4120U);
}

TEST_F(CaptureTest, FollowsVacuumAndGrowthAfterIt) {
  App app(path_);
  app.Run(
      "PRAGMA journal_mode=WAL; CREATE TABLE t(x); "
      "WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 500) "
      "INSERT INTO t SELECT randomblob(2000) FROM n");
  StartCapture();
  Settle();
  app.Run("DELETE FROM t WHERE rowid % 5 <> 0");
  Settle();
  app.Run("VACUUM");
  Settle();
  ExpectStagedEqualsLive();
  app.Run("CREATE TABLE u(y); INSERT INTO u SELECT randomblob(9000) FROM t");
  Settle();
  ExpectStagedEqualsLive();
}

TEST_F(CaptureTest, EveryForeignCheckpointModeIsHarmlessAndQuick) {
  App app(path_);
  app.Run("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
  StartCapture();
  Settle();
  for (const char* mode : {"PASSIVE", "FULL", "RESTART", "TRUNCATE"}) {
    for (int i = 0; i < 5; ++i) {
      app.Run("INSERT INTO t VALUES (randomblob(5000))");
      Settle(milliseconds(60));
      // The first one copies, whereupon we move to slot 0; the second one finds nobody.
      app.TryRun(std::string("PRAGMA wal_checkpoint(") + mode + ")");
      Settle(milliseconds(60));
      EXPECT_EQ(app.Number(std::string("PRAGMA wal_checkpoint(") + mode + ")"), 0) << mode;
    }
  }
  Settle();
  ExpectStagedEqualsLive();
}

TEST_F(CaptureTest, WaitsForADatabaseThatIsMadeLater) {
  StartCapture();
  scheduler_->Advance(milliseconds(500));
  EXPECT_EQ(database().status().state, capture::DatabaseState::kWaiting);
  App app(path_);
  app.Run("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
  database().NotifyMoved();
  Settle();
  EXPECT_EQ(newest_cut_, Txid{1});
  ExpectStagedEqualsLive();
}

TEST_F(CaptureTest, SwitchesARollbackJournalDatabaseToWalOnceAndOnlyIfAllowed) {
  {
    App app(path_);
    app.Run("CREATE TABLE t(x)");
  }
  options_.journal_mode = capture::JournalModePolicy::kRequire;
  StartCapture();
  Settle();
  EXPECT_EQ(database().status().error->code(), Errc::kPreconditionFailed);
  Crash();
  options_.journal_mode = capture::JournalModePolicy::kSwitch;
  StartCapture();
  Settle();
  EXPECT_EQ(newest_cut_, Txid{1});
  ExpectStagedEqualsLive();
}

TEST_F(CaptureTest, ApplicationCannotLeaveWalModeWhileCaptured) {
  App app(path_);
  app.Run("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
  StartCapture();
  Settle();
  EXPECT_EQ(app.TryRun("PRAGMA journal_mode=DELETE"), SQLITE_BUSY);
  app.Run("INSERT INTO t VALUES (1)");
  Settle();
  ExpectStagedEqualsLive();
}

TEST_F(CaptureTest, EveryPageSizeWorks) {
  for (int size = 512; size <= 65536; size *= 2) {
    path_ = directory_.path() / (std::to_string(size) + ".db");
    options_.database = path_;
    options_.state_folder = directory_.path() / ("." + std::to_string(size) + "-litestream");
    App app(path_);
    app.Run("PRAGMA page_size=" + std::to_string(size) +
            "; PRAGMA journal_mode=WAL; CREATE TABLE t(x); "
            "INSERT INTO t VALUES (randomblob(200000))");
    StartCapture();
    Settle();
    app.Run("UPDATE t SET x = randomblob(300000)");
    Settle();
    ExpectStagedEqualsLive();
    Crash();
  }
}

TEST_F(CaptureTest, SegmentLargerThanItsMemoryIsCutWhole) {
  App app(path_);
  app.Run("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
  options_.segment = {.buffer_bytes = 40'000, .table_entries = 16};
  StartCapture();
  Settle();
  app.Run(
      "WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 300) "
      "INSERT INTO t SELECT randomblob(3000) FROM n");
  Settle();
  app.Run("DELETE FROM t WHERE rowid % 2; VACUUM");
  Settle();
  ExpectStagedEqualsLive();
}

}  // namespace
}  // namespace runnel::tests
