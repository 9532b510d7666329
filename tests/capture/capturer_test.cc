// The read mark and the fence, one look at a time.

#include "capture/capturer.h"

#include "testing/fault_file_system.h"
#include "testing/result_matchers.h"
#include "tests/capture/live_database.h"

namespace runnel::tests {
namespace {

using capture::Capturer;
using capture::Continuity;
using capture::LiveWal;
using capture::Segment;
using capture::WalPosition;
using capture::WalState;
using std::chrono::milliseconds;

// SQLite's CKPT or WRITE lock, held by an application.
class HeldLock {
 public:
  HeldLock(App& app, int byte) : byte_(byte) {
    EXPECT_EQ(sqlite3_file_control(app.handle(), "main", SQLITE_FCNTL_FILE_POINTER, &file_),
              SQLITE_OK);
    EXPECT_EQ(file_->pMethods->xShmLock(file_, byte_, 1, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE),
              SQLITE_OK);
  }
  HeldLock(const HeldLock&) = delete;
  HeldLock& operator=(const HeldLock&) = delete;
  ~HeldLock() {
    file_->pMethods->xShmLock(file_, byte_, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
  }

 private:
  sqlite3_file* file_ = nullptr;
  int byte_;
};
constexpr int kWrite = 0;
constexpr int kCheckpoint = 1;

class CapturerTest : public ::testing::Test {
 protected:
  CapturerTest() : path_(directory_.path() / "app.db"), app_(path_) {
    sqlite3_wal_autocheckpoint(app_.handle(), 0);
    app_.Run("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
  }

  std::unique_ptr<Capturer> NewCapturer() {
    return std::make_unique<Capturer>(
        capture::CapturerOptions{.database = path_, .checkpoint = limits_, .flush_earlier = {}},
        registry_, fs_, clock_, log_);
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

  int Checkpoint(int mode) {
    return sqlite3_wal_checkpoint_v2(app_.handle(), "main", mode, nullptr, nullptr);
  }

  // What an earlier daemon had captured.
  WalPosition CaptureEverything() {
    auto capturer = NewCapturer();
    EXPECT_OK(capturer->Connect({}));
    auto segment = SegmentAt(*capturer);
    EXPECT_OK(capturer->CatchUp(*segment));
    return capturer->captured().position;
  }

  testing::TempDir directory_;
  fs::Path path_;
  App app_;
  capture::CheckpointLimits limits_;
  fs::PosixFileSystem posix_;
  testing::FaultFileSystem fs_{posix_};
  sqlite::OpenRegistry registry_{fs_};
  testing::ManualClock clock_;
  testing::CapturingLogger log_;
};

// The mark that Connect() takes is in slot 0, where it keeps nobody from starting the WAL over
// before the first look.
TEST_F(CapturerTest, WalThatStartsOverRightAfterConnectIsNotTakenForCaptured) {
  const WalPosition resume = CaptureEverything();
  app_.Run("INSERT INTO t VALUES (randomblob(9000))");
  ASSERT_EQ(Checkpoint(SQLITE_CHECKPOINT_PASSIVE), SQLITE_OK);
  auto capturer = NewCapturer();
  ASSERT_OK_AND_ASSIGN(const Continuity continuity, capturer->Connect(resume));
  ASSERT_EQ(continuity, Continuity::kKept);
  auto segment = SegmentAt(*capturer);

  app_.Run("CREATE TABLE u(y)");  // overwrites the first frames of what was to be captured

  EXPECT_FAILS(Errc::kCorruption, capturer->CatchUp(*segment));
}

TEST_F(CapturerTest, WhatWasCommittedBeforeConnectIsCapturedThoughTheMarkIsInSlotZero) {
  const WalPosition resume = CaptureEverything();
  app_.Run("INSERT INTO t VALUES (randomblob(9000))");
  ASSERT_EQ(Checkpoint(SQLITE_CHECKPOINT_PASSIVE), SQLITE_OK);
  auto capturer = NewCapturer();
  ASSERT_OK(capturer->Connect(resume));
  auto segment = SegmentAt(*capturer);
  ASSERT_OK(capturer->CatchUp(*segment));
  EXPECT_TRUE(segment->has_pages());
  app_.Run("CREATE TABLE u(y)");
  ASSERT_OK(capturer->CatchUp(*segment));
  EXPECT_NE(segment->end().position.salts, resume.salts);
}

TEST_F(CapturerTest, EveryGenerationThatWasEmptyMayFollowAnother) {
  auto capturer = NewCapturer();
  ASSERT_OK(capturer->Connect({}));
  auto segment = SegmentAt(*capturer);
  for (int i = 0; i < 5; ++i) {
    app_.Run("INSERT INTO t VALUES (randomblob(2000))");
    ASSERT_OK(capturer->CatchUp(*segment));
    ASSERT_OK(capturer->CheckpointPassive(*segment));
    for (int empty = 0; empty < 3; ++empty) {
      ASSERT_EQ(Checkpoint(SQLITE_CHECKPOINT_TRUNCATE), SQLITE_OK);
      if (empty != i % 3) ASSERT_OK(capturer->CatchUp(*segment));
    }
    ASSERT_OK(capturer->CatchUp(*segment));
    EXPECT_EQ(capturer->captured().position.frame, FrameNo{0});
  }
}

TEST_F(CapturerTest, MarkStaysInSlotZeroWhileACheckpointerMayBeOlderThanTheRestart) {
  auto capturer = NewCapturer();
  ASSERT_OK(capturer->Connect({}));
  auto segment = SegmentAt(*capturer);
  app_.Run("INSERT INTO t VALUES (1)");
  ASSERT_OK(capturer->CatchUp(*segment));
  ASSERT_OK(capturer->CheckpointPassive(*segment));
  app_.Run("INSERT INTO t VALUES (2)");  // starts the WAL over
  {
    App stale(path_);
    stale.Run("SELECT count(*) FROM t");
    const HeldLock lock(stale, kCheckpoint);
    // It never ends, and a writer has the WRITE lock each time that one looks.
    for (int i = 0; i < 100; ++i) {
      if (i % 10 == 0) app_.Run("INSERT INTO t VALUES (3)");
      const HeldLock write(app_, kWrite);
      ASSERT_OK_AND_ASSIGN(const auto next, capturer->Service(*segment));
      ASSERT_TRUE(capturer->fence_closed()) << i;
      // It has to be looked at again, though nobody notifies.
      ASSERT_TRUE(next && *next - clock_.MonotonicNow() <= milliseconds(1));
      clock_.Advance(milliseconds(1));
    }
  }
  // Everything was captured all the same.
  ASSERT_OK_AND_ASSIGN(const LiveWal live, capturer->Live());
  EXPECT_EQ(segment->end().position, live.state.position);
  ASSERT_OK(capturer->CatchUp(*segment));
  EXPECT_FALSE(capturer->fence_closed());
}

TEST_F(CapturerTest, CheckpointThatHoldsBothLocksAndWaitsForUsGetsItsWay) {
  auto capturer = NewCapturer();
  ASSERT_OK(capturer->Connect({}));
  auto segment = SegmentAt(*capturer);
  app_.Run("INSERT INTO t VALUES (1)");
  ASSERT_OK(capturer->CatchUp(*segment));
  ASSERT_OK(capturer->CheckpointPassive(*segment));
  app_.Run("INSERT INTO t VALUES (2)");
  App other(path_);
  other.Run("SELECT count(*) FROM t");
  const HeldLock checkpoint(other, kCheckpoint);
  const HeldLock write(other, kWrite);
  ASSERT_OK(capturer->CatchUp(*segment));
  ASSERT_TRUE(capturer->fence_closed());
  // A look much later says nothing of the time in between.
  clock_.Advance(milliseconds(500));
  ASSERT_OK(capturer->CatchUp(*segment));
  ASSERT_TRUE(capturer->fence_closed());
  for (int i = 0; i < 25; ++i) {
    clock_.Advance(milliseconds(1));
    ASSERT_OK(capturer->CatchUp(*segment));
  }
  EXPECT_FALSE(capturer->fence_closed());
}

TEST_F(CapturerTest, LookAtAnIdleDatabaseOpensNothing) {
  auto capturer = NewCapturer();
  ASSERT_OK(capturer->Connect({}));
  auto segment = SegmentAt(*capturer);
  app_.Run("INSERT INTO t VALUES (1)");
  for (int i = 0; i < 5; ++i) ASSERT_OK(capturer->Service(*segment));
  capturer->Rest();
  fs_.Heal();
  for (int i = 0; i < 5; ++i) ASSERT_OK(capturer->Service(*segment));
  EXPECT_EQ(fs_.call_count(), 0U) << fs_.RecentCalls();
}

TEST_F(CapturerTest, TruncateByTheApplicationFindsUsOutOfItsWayAfterItsBackfill) {
  auto capturer = NewCapturer();
  ASSERT_OK(capturer->Connect({}));
  auto segment = SegmentAt(*capturer);
  app_.Run("INSERT INTO t VALUES (1)");
  ASSERT_OK(capturer->Service(*segment));
  // Copies everything, and waits for the mark.
  ASSERT_EQ(Checkpoint(SQLITE_CHECKPOINT_TRUNCATE), SQLITE_BUSY);
  ASSERT_OK(capturer->Service(*segment));
  EXPECT_EQ(Checkpoint(SQLITE_CHECKPOINT_TRUNCATE), SQLITE_OK);
}

}  // namespace
}  // namespace runnel::tests
