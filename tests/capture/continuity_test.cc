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

  void SaveDisk() {
    saved_database_ = fs::ReadFile(fs_, path_, 64U << 20).value();
    saved_wal_ = fs::ReadFile(fs_, WalPath(), 64U << 20).value();
  }

  // A power loss that took what was written since SaveDisk(), but nothing of ours.
  void LoseAllSinceSaved() {
    Crash();
    app_.reset();
    ASSERT_TRUE(fs::ReplaceFile(fs_, path_, saved_database_, {.mode = 0644}));
    ASSERT_TRUE(fs::ReplaceFile(fs_, WalPath(), saved_wal_, {.mode = 0644}));
    app_ = std::make_unique<App>(path_);
  }

  fs::Path WalPath() const { return path_.string() + "-wal"; }

  std::unique_ptr<App> app_;
  Bytes saved_database_;
  Bytes saved_wal_;
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

// What an application with synchronous=NORMAL risks: the last frames of the WAL did not survive.
TEST_F(ContinuityTest, CommitsThatThePowerLossTookAreNamedAndTheNextCutGoesBack) {
  Prepare();
  SaveDisk();
  app_->Run("UPDATE t SET x = randomblob(1500) WHERE id BETWEEN 50 AND 60");
  Settle();
  ASSERT_EQ(newest_cut_, Txid{2});
  LoseAllSinceSaved();
  StartCapture();
  Settle();
  EXPECT_TRUE(log_.Contains("the machine lost commits", LogLevel::kWarn));
  EXPECT_EQ(newest_cut_, Txid{3});
  EXPECT_LT(NewestCutBytes(), 60'000U);
  ExpectStagedEqualsLive();
}

TEST_F(ContinuityTest, CommitsMadeAfterAPowerLossTookOthersAreToldFromThose) {
  Prepare();
  SaveDisk();
  app_->Run("UPDATE t SET x = randomblob(1500) WHERE id = 50");
  Settle();
  LoseAllSinceSaved();
  app_->Run("UPDATE t SET x = randomblob(1500) WHERE id BETWEEN 90 AND 99");
  StartCapture();
  Settle();
  EXPECT_TRUE(log_.Contains("the machine lost commits", LogLevel::kWarn));
  EXPECT_EQ(newest_cut_, Txid{3});
  ExpectStagedEqualsLive();
}

// Something wrote past SQLite: no frame of the WAL tells of it.
TEST_F(ContinuityTest, ComparedAgainAPageThatChangedUnseenIsCut) {
  Prepare();
  app_->Run("PRAGMA wal_checkpoint(TRUNCATE)");
  Settle();
  {
    const auto file = fs_.Open(path_, fs::OpenMode::kReadWrite);
    ASSERT_TRUE(file);
    const Bytes junk(16, std::byte{0x5A});
    ASSERT_TRUE((*file)->WriteAt((*file)->Info()->size_bytes - junk.size(), junk));
  }
  app_->Run("UPDATE t SET x = randomblob(100) WHERE id = 3");
  database().NotifyWritten();
  database().CompareAgain(capture::CompareExtent::kDifferingPages);
  Settle();
  EXPECT_EQ(newest_cut_, Txid{2}) << "one cut of what was captured and what was found";
  EXPECT_LT(NewestCutBytes(), 40'000U);
  ExpectStagedEqualsLive();
  database().CompareAgain(capture::CompareExtent::kDifferingPages);
  Settle();
  EXPECT_EQ(newest_cut_, Txid{2}) << "nothing differs";
}

TEST_F(ContinuityTest, ComparedWithEveryPageTheNextCutIsAFullCopyAndTheEarlierOnesStay) {
  Prepare();
  database().CompareAgain(capture::CompareExtent::kEveryPage);
  Settle();
  ASSERT_EQ(newest_cut_, Txid{2});
  EXPECT_EQ(database().staging().files().size(), 2U);
  const auto summary = database().staging().Summary(Txid{2});
  ASSERT_TRUE(summary);
  EXPECT_TRUE(summary->header.HoldsAllPages());
  ExpectStagedEqualsLive();
  app_->Run("UPDATE t SET x = randomblob(100) WHERE id = 3");
  Settle();
  EXPECT_EQ(newest_cut_, Txid{3});
  EXPECT_LT(NewestCutBytes(), 40'000U);
  ExpectStagedEqualsLive();
}

TEST_F(ContinuityTest, ComparedWithEveryPageOnceADatabaseThatWasAwayIsBack) {
  Prepare();
  app_.reset();
  const fs::Path away = directory_.path() / "away.db";
  ASSERT_TRUE(fs_.Rename(path_, away));
  database().NotifyMoved();
  Settle();
  ASSERT_EQ(database().status().state, capture::DatabaseState::kWaiting);
  database().CompareAgain(capture::CompareExtent::kEveryPage);
  ASSERT_TRUE(fs_.Rename(away, path_));
  ASSERT_TRUE(fs_.Remove(WalPath()));
  database().NotifyMoved();
  Settle();
  ASSERT_EQ(newest_cut_, Txid{2});
  const auto summary = database().staging().Summary(Txid{2});
  ASSERT_TRUE(summary);
  EXPECT_TRUE(summary->header.HoldsAllPages());
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
