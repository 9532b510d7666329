// The daemon comes and goes; what happened meanwhile is found, or known not to have happened.

#include "fs/file_operations.h"
#include "tests/capture/live_database.h"

namespace runnel::tests {
namespace {

using std::chrono::milliseconds;

class ContinuityTest : public LiveDatabaseTest {
 protected:
  void Prepare() {
    app_ = std::make_unique<App>(path_);
    app_->Run(
        "PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x); "
        "WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 200) "
        "INSERT INTO t(x) SELECT randomblob(1500) FROM n");
    StartCapture();
    Settle();
    ASSERT_EQ(newest_cut_, Txid{1});
    log_.Clear();
  }

  std::uint64_t NewestCutBytes() { return database().staging().newest()->size_bytes; }

  std::unique_ptr<App> app_;
};

TEST_F(ContinuityTest, CleanRestartWithoutWritesCutsNothing) {
  Prepare();
  ASSERT_TRUE(StopCapture());
  StartCapture();
  Settle();
  EXPECT_EQ(newest_cut_, Txid{1});
  EXPECT_FALSE(log_.Contains("comparing the database"));
}

TEST_F(ContinuityTest, WritesWhileTheDaemonWasAwayAreCapturedFromTheWalIfItIsStillThere) {
  Prepare();
  ASSERT_TRUE(StopCapture());
  app_->Run("INSERT INTO t(x) VALUES (randomblob(1000))");
  StartCapture();
  Settle();
  EXPECT_EQ(newest_cut_, Txid{2});
  EXPECT_FALSE(log_.Contains("comparing the database"));
  ExpectStagedEqualsLive();
}

TEST_F(ContinuityTest, WalThatRestartedWhileTheDaemonWasAwayIsRepairedByTheDifferingPages) {
  Prepare();
  ASSERT_TRUE(StopCapture());
  app_->Run(
      "PRAGMA wal_checkpoint(TRUNCATE); UPDATE t SET x = randomblob(1500) WHERE id = 77; "
      "PRAGMA wal_checkpoint(TRUNCATE)");
  StartCapture();
  Settle();
  EXPECT_EQ(newest_cut_, Txid{2});
  EXPECT_TRUE(log_.Contains("comparing the database"));
  EXPECT_LT(NewestCutBytes(), 40'000U);
  ExpectStagedEqualsLive();
}

TEST_F(ContinuityTest, LastCloseWhileTheDaemonWasAwayIsComparedAndShipsNothing) {
  Prepare();
  ASSERT_TRUE(StopCapture());
  app_.reset();  // checkpoints, deletes the WAL
  ASSERT_FALSE(fs_.Stat(path_.string() + "-wal"));
  StartCapture();
  Settle();
  EXPECT_EQ(newest_cut_, Txid{1});
  // The second time the position is known.
  ASSERT_TRUE(StopCapture());
  log_.Clear();
  app_ = std::make_unique<App>(path_);
  StartCapture();
  Settle();
  ExpectStagedEqualsLive();
}

TEST_F(ContinuityTest, CrashedDaemonGoesOnWhereItWas) {
  Prepare();
  for (int i = 0; i < 30; ++i) {
    app_->Run("INSERT INTO t(x) VALUES (randomblob(1000))");
    Settle(milliseconds(i % 3 == 0 ? 1 : 25));
    if (i % 4 == 0) {
      Crash();
      StartCapture();
    }
  }
  Settle();
  EXPECT_FALSE(log_.Contains("comparing the database"));
  ExpectStagedEqualsLive();
}

TEST_F(ContinuityTest, CrashAfterTheWalStartedOverGoesOnFromTheSegment) {
  Prepare();
  options_.checkpoint.threshold_frames = 20;
  Crash();
  StartCapture();
  Settle();
  log_.Clear();
  for (int i = 0; i < 60; ++i) {
    app_->Run("UPDATE t SET x = randomblob(1500) WHERE id = " + std::to_string(i + 1));
    Settle(milliseconds(20));
  }
  // Several generations since the last cut are only in the segment.
  Crash();
  StartCapture();
  Settle();
  EXPECT_FALSE(log_.Contains("comparing the database"));
  ExpectStagedEqualsLive();
}

TEST_F(ContinuityTest, DatabaseReplacedByAnotherIsComparedPageByPage) {
  Prepare();
  app_.reset();
  const fs::Path other = directory_.path() / "other.db";
  {
    App app(other);
    app.Run("PRAGMA journal_mode=WAL; CREATE TABLE z(y); INSERT INTO z VALUES (randomblob(9000))");
  }
  ASSERT_TRUE(fs_.Rename(other, path_));
  ASSERT_TRUE(fs_.Remove(path_.string() + "-wal"));
  ASSERT_TRUE(fs_.Remove(path_.string() + "-shm"));
  database().NotifyMoved();
  Settle();
  EXPECT_EQ(newest_cut_, Txid{2});
  ExpectStagedEqualsLive();
}

TEST_F(ContinuityTest, LostPageChecksumsAreMadeAnewWithoutShippingAPage) {
  Prepare();
  ASSERT_TRUE(StopCapture());
  ASSERT_TRUE(fs_.Remove(options_.state_folder / "runnel" / "pages"));
  StartCapture();
  Settle();
  EXPECT_EQ(newest_cut_, Txid{1});
  app_->Run("UPDATE t SET x = randomblob(100) WHERE id = 3");
  Settle();
  EXPECT_EQ(newest_cut_, Txid{2});
  EXPECT_LT(NewestCutBytes(), 40'000U);
  ExpectStagedEqualsLive();
}

TEST_F(ContinuityTest, LostStateContinuesTheNumbersOfTheReplicaWithEveryPage) {
  Prepare();
  Crash();
  ASSERT_TRUE(fs::RemoveTree(fs_, options_.state_folder));
  StartCapture();
  ASSERT_TRUE(database().AdoptHistory(Txid{41}));
  Settle();
  EXPECT_EQ(newest_cut_, Txid{42});
  ExpectStagedEqualsLive();
}

TEST_F(ContinuityTest, SecondDaemonOnTheSameStateIsRefused) {
  Prepare();
  sqlite::OpenRegistry registry(fs_);
  capture::Database second(
      options_,
      {.fs = fs_, .registry = registry, .clock = clock_, .log = log_, .scheduler = *scheduler_},
      *this);
  auto started = second.Start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), Errc::kBusy);
}

}  // namespace
}  // namespace runnel::tests
