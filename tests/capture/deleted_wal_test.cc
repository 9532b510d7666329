// Somebody deletes the WAL, or WAL and wal-index, under applications and us. SQLite opens another
// WAL for whoever comes then, and takes one for the other: what we may do here is nothing.

#include <gmock/gmock.h>

#include <filesystem>
#include <memory>

#include "capture/capturer.h"
#include "fs/file_operations.h"
#include "testing/result_matchers.h"
#include "tests/capture/live_database.h"

namespace runnel::tests {
namespace {

using capture::Capturer;
using capture::Continuity;
using capture::DatabaseState;
using capture::Segment;
using capture::WalState;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

class DeletedWalTest : public LiveDatabaseTest {
 protected:
  DeletedWalTest() : app_(NewApp()) {
    app_->Run(
        "PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x); CREATE TABLE u(y); "
        "WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 200) "
        "INSERT INTO t(x) SELECT randomblob(1500) FROM n; PRAGMA wal_checkpoint(TRUNCATE)");
    // Pages of t are in the WAL alone then, none of u is.
    app_->Run("UPDATE t SET x = randomblob(1500) WHERE id BETWEEN 50 AND 100");
  }

  std::unique_ptr<App> NewApp() {
    auto app = std::make_unique<App>(path_);
    sqlite3_wal_autocheckpoint(app->handle(), 0);
    return app;
  }

  fs::Path WalPath() const { return path_.string() + "-wal"; }
  fs::Path WalIndexPath() const { return path_.string() + "-shm"; }
  Bytes DatabaseFile() { return fs::ReadFile(fs_, path_, 64U << 20).value(); }

  // Another connection, that has another WAL open than app_, and has committed to it.
  std::unique_ptr<App> NewcomerAfterDeletion() {
    std::filesystem::remove(WalPath());
    auto newcomer = NewApp();
    newcomer->Run("INSERT INTO u VALUES (randomblob(100))");
    return newcomer;
  }

  std::unique_ptr<Capturer> NewCapturer() {
    return std::make_unique<Capturer>(
        capture::CapturerOptions{.database = path_, .checkpoint = {}, .flush_earlier = {}},
        *registry_, fs_, clock_, log_);
  }

  std::unique_ptr<Segment> SegmentAt(const Capturer& capturer) {
    const WalState& state = capturer.captured();
    return std::make_unique<Segment>(fs_, directory_.path() / "segment", fs::Ownership{},
                                     capture::SegmentStart{.page_size = state.page_size,
                                                           .txid = Txid{1},
                                                           .position = state.position,
                                                           .commit_pages = state.commit_pages},
                                     capture::SegmentLimits{});
  }

  void ExpectWaits(const std::string& because) {
    const capture::DatabaseStatus status = database().status();
    EXPECT_EQ(status.state, DatabaseState::kWaiting);
    ASSERT_TRUE(status.error);
    EXPECT_THAT(status.error->message(), HasSubstr(because));
  }

  std::unique_ptr<App> app_;
};

// Its frames lie in the old file, and holes in the new one: a checkpoint on a connection that has
// the new one open fills the database with zeros.
TEST_F(DeletedWalTest, NothingIsCopiedOutOfTheNewOne) {
  auto capturer = NewCapturer();
  ASSERT_OK(capturer->Connect({}));
  auto segment = SegmentAt(*capturer);
  const Bytes before = DatabaseFile();
  const auto newcomer = NewcomerAfterDeletion();
  const auto checkpointed = capturer->CheckpointPassive(*segment);
  ASSERT_FALSE(checkpointed);
  EXPECT_EQ(checkpointed.error().code(), Errc::kUnavailable);
  EXPECT_THAT(checkpointed.error().message(), HasSubstr(WalPath().string()));
  EXPECT_TRUE(DatabaseFile() == before);
}

TEST_F(DeletedWalTest, NothingIsCopiedOutOfTheOldOneEither) {
  auto capturer = NewCapturer();
  ASSERT_OK(capturer->Connect({}));
  auto segment = SegmentAt(*capturer);
  ASSERT_OK(capturer->CheckpointPassive(*segment));  // its connection is open from now on
  app_->Run("UPDATE t SET x = randomblob(1500) WHERE id = 7");
  ASSERT_OK(capturer->CatchUp(*segment));
  const Bytes before = DatabaseFile();
  std::filesystem::remove(WalPath());
  EXPECT_FAILS(Errc::kUnavailable, capturer->CheckpointPassive(*segment));
  EXPECT_TRUE(DatabaseFile() == before);
}

TEST_F(DeletedWalTest, NoConnectionOfOursFollowsAnotherFileThanTheRest) {
  for (const fs::Path& deleted : {WalPath(), WalIndexPath()}) {
    auto capturer = NewCapturer();
    ASSERT_OK(capturer->Connect({}));
    auto segment = SegmentAt(*capturer);
    const fs::Path kept = deleted.string() + "-kept";
    std::filesystem::rename(deleted, kept);
    app_->Run("UPDATE t SET x = randomblob(1500) WHERE id = 8");
    const auto looked = capturer->Service(*segment);
    ASSERT_FALSE(looked);
    EXPECT_THAT(looked.error().message(), HasSubstr(deleted.string()));
    EXPECT_FALSE(exists(deleted)) << "it was made by us";
    std::filesystem::rename(kept, deleted);
  }
}

TEST_F(DeletedWalTest, NothingIsMadeWhileSomebodyHasTheDeletedOneOpen) {
  for (const fs::Path& deleted : {WalPath(), WalIndexPath()}) {
    std::filesystem::remove(deleted);
    auto capturer = NewCapturer();
    const auto refused = capturer->Connect({});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Errc::kUnavailable);
    EXPECT_FALSE(exists(deleted));
  }
  app_.reset();  // the last close
  auto capturer = NewCapturer();
  ASSERT_OK(capturer->Connect({}));
}

TEST_F(DeletedWalTest, AWalThatLacksWhatTheIndexNamesIsRefused) {
  auto newcomer = NewcomerAfterDeletion();
  {
    auto capturer = NewCapturer();
    const auto refused = capturer->Connect({});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Errc::kUnavailable);
    EXPECT_THAT(refused.error().message(), HasSubstr(WalPath().string()));
  }
  newcomer.reset();
  app_.reset();  // copies what the deleted one held
  auto capturer = NewCapturer();
  ASSERT_OK(capturer->Connect({}));
}

// The last frame alone says nothing of those before.
TEST_F(DeletedWalTest, AWalWithAHoleIsRefused) {
  app_->Run("PRAGMA wal_checkpoint(TRUNCATE)");
  std::filesystem::remove(WalPath());
  const auto newcomer = NewApp();
  newcomer->Run("INSERT INTO u VALUES (1)");                     // begins a generation
  app_->Run("UPDATE t SET x = randomblob(1500) WHERE id < 10");  // goes on with it elsewhere
  newcomer->Run("CREATE TABLE v(z)");
  auto capturer = NewCapturer();
  EXPECT_FAILS(Errc::kUnavailable, capturer->Connect({}));
}

TEST_F(DeletedWalTest, ARestartOfTheWalIsNoDeletion) {
  app_->Run("PRAGMA wal_checkpoint(PASSIVE)");
  auto capturer = NewCapturer();
  ASSERT_OK_AND_ASSIGN(const Continuity continuity, capturer->Connect({}));
  EXPECT_EQ(continuity, Continuity::kNoPosition);
  auto segment = SegmentAt(*capturer);
  app_->Run("PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO u VALUES (1)");
  EXPECT_OK(capturer->Service(*segment));
}

// An application that lived through the deletion may copy into the database file what only it sees.
TEST_F(DeletedWalTest, WhatIsWrittenPastUsLaterIsFoundByComparingAgain) {
  StartCapture();
  Settle();
  std::filesystem::remove(WalPath());
  database().NotifyMoved();
  Settle();
  ExpectWaits(WalPath());
  app_->Run("PRAGMA wal_checkpoint(PASSIVE)");
  const auto newcomer = NewApp();
  newcomer->Run("INSERT INTO u VALUES (1)");  // begins a generation, in the new file
  Settle(seconds(7));
  ASSERT_EQ(database().status().state, DatabaseState::kCapturing);
  ExpectStagedEqualsLive();

  sqlite3_file* file = nullptr;
  ASSERT_EQ(sqlite3_file_control(app_->handle(), "main", SQLITE_FCNTL_FILE_POINTER, &file),
            SQLITE_OK);
  const std::int64_t blob = 40 * 4096 + 2000;  // within a row of t
  const std::string text = "past everybody";
  ASSERT_EQ(file->pMethods->xWrite(file, text.data(), static_cast<int>(text.size()), blob),
            SQLITE_OK);
  Settle(seconds(30));
  EXPECT_EQ(database().status().state, DatabaseState::kCapturing);
  ExpectStagedEqualsLive();

  scheduler_->Advance(std::chrono::hours(2));
  log_.Clear();
  scheduler_->Advance(std::chrono::hours(2));
  EXPECT_FALSE(log_.Contains("comparing the database")) << "it goes on forever";
}

enum class Deleted : std::uint8_t { kWal, kWalAndIndex };

class DeletedUnderTheDaemon : public DeletedWalTest, public ::testing::WithParamInterface<Deleted> {
 protected:
  void Delete() {
    std::filesystem::remove(WalPath());
    if (GetParam() == Deleted::kWalAndIndex) std::filesystem::remove(WalIndexPath());
    database().NotifyMoved();
  }
};

TEST_P(DeletedUnderTheDaemon, TheLastCloseOfTheApplicationSetsItRight) {
  StartCapture();
  Settle();
  ASSERT_EQ(newest_cut_, Txid{1});
  app_->Run("UPDATE t SET x = randomblob(1500) WHERE id = 3");
  Delete();
  Settle();
  ExpectWaits(WalPath());
  EXPECT_FALSE(exists(WalPath()));
  app_->Run("UPDATE t SET x = randomblob(1500) WHERE id = 4");
  Settle(seconds(20));
  ExpectWaits(WalPath());
  app_.reset();
  Settle(seconds(10));
  EXPECT_EQ(database().status().state, DatabaseState::kCapturing);
  ExpectStagedEqualsLive();
}

// Nobody tells, and at rest we have no WAL open.
TEST_P(DeletedUnderTheDaemon, IsNoticedAtRestBeforeLong) {
  StartCapture();
  Settle(seconds(5));
  std::filesystem::remove(GetParam() == Deleted::kWal ? WalPath() : WalIndexPath());
  scheduler_->Advance(seconds(75));
  EXPECT_EQ(database().status().state, DatabaseState::kWaiting);
  app_.reset();
  Settle(seconds(10));
  EXPECT_EQ(database().status().state, DatabaseState::kCapturing);
  ExpectStagedEqualsLive();
}

TEST_P(DeletedUnderTheDaemon, AScanThatWasUnderWayDoesNotCount) {
  StartCapture();
  Settle();
  auto scan = database().BeginScan();
  ASSERT_OK(scan);
  EXPECT_TRUE(database().IsCurrent(**scan));
  std::filesystem::remove(GetParam() == Deleted::kWal ? WalPath() : WalIndexPath());
  EXPECT_FALSE(database().IsCurrent(**scan));
}

INSTANTIATE_TEST_SUITE_P(Files, DeletedUnderTheDaemon,
                         ::testing::Values(Deleted::kWal, Deleted::kWalAndIndex),
                         [](const auto& info) {
                           return info.param == Deleted::kWal ? "Wal" : "WalAndIndex";
                         });

}  // namespace
}  // namespace runnel::tests
