// Somebody deletes the state folder of a database that is captured.

#include <filesystem>

#include "tests/capture/live_database.h"

namespace runnel::tests {
namespace {

using capture::DatabaseState;
using std::chrono::seconds;

class LostStateTest : public LiveDatabaseTest {
 protected:
  LostStateTest() : app_(path_) {
    app_.Run(
        "PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x); "
        "WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 200) "
        "INSERT INTO t(x) SELECT randomblob(1500) FROM n");
    StartCapture();
    Settle();
  }

  void Lose() { std::filesystem::remove_all(options_.state_folder); }

  void ExpectGoesOnWith(Txid next) {
    EXPECT_EQ(database().status().state, DatabaseState::kCapturing);
    EXPECT_FALSE(database().status().error);
    EXPECT_EQ(newest_cut_, next);
    EXPECT_EQ(database().staging().files().size(), 1U) << "something else is left";
    ExpectStagedEqualsLive();
  }

  App app_;
};

TEST_F(LostStateTest, TheNextCutHasTheNextTxidAndEveryPage) {
  ASSERT_EQ(newest_cut_, Txid{1});
  Lose();
  app_.Run("UPDATE t SET x = 'after' WHERE id = 7");
  Settle(seconds(3));
  ExpectGoesOnWith(Txid{2});
  EXPECT_TRUE(log_.Contains("the state folder was deleted"));
}

TEST_F(LostStateTest, TheStagedLogAloneMayBeLost) {
  std::filesystem::remove_all(options_.state_folder / "ltx");
  app_.Run("UPDATE t SET x = 'after' WHERE id = 7");
  Settle(seconds(3));
  ExpectGoesOnWith(Txid{2});
}

TEST_F(LostStateTest, WhatWasCapturedButNotCutIsInTheNextCut) {
  app_.Run("UPDATE t SET x = randomblob(1500) WHERE id < 100");
  database().NotifyWritten();
  scheduler_->Advance(std::chrono::milliseconds(5));
  Lose();
  app_.Run("PRAGMA wal_checkpoint(TRUNCATE); UPDATE t SET x = 'after' WHERE id = 7");
  Settle(seconds(10));
  ExpectStagedEqualsLive();
  EXPECT_EQ(database().staging().files().size(), 1U);
}

TEST_F(LostStateTest, ASegmentThatCannotGetItsFileDoesNotEndIt) {
  Lose();
  // The WAL may start over after this, so the segment has to be in its file.
  app_.Run("UPDATE t SET x = 'after' WHERE id = 7; PRAGMA wal_checkpoint(PASSIVE)");
  Settle(seconds(10));
  ExpectGoesOnWith(Txid{2});
}

TEST_F(LostStateTest, ADaemonThatStartsNextFindsAllOfIt) {
  Lose();
  app_.Run("UPDATE t SET x = 'after' WHERE id = 7");
  Settle(seconds(3));
  ASSERT_TRUE(StopCapture());
  app_.Run("UPDATE t SET x = 'later' WHERE id = 8");
  StartCapture();
  Settle();
  EXPECT_EQ(newest_cut_, Txid{3});
  ExpectStagedEqualsLive();
}

}  // namespace
}  // namespace runnel::tests
