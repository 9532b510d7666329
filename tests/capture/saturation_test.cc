// Writers that never pause: how the WAL is kept short, and at whose expense.

#include <fcntl.h>

#include <atomic>
#include <cstdarg>
#include <functional>
#include <thread>

#include "capture/capturer.h"
#include "runtime/system_clock.h"
#include "testing/result_matchers.h"
#include "tests/capture/live_database.h"

namespace runnel::tests {
namespace {

using capture::Capturer;
using capture::LiveWal;
using capture::Segment;
using capture::WalState;
using std::chrono::milliseconds;
using std::chrono::seconds;

// A manual clock that an application uses to commit while a look is going on.
class InterruptedClock final : public Clock {
 public:
  WallTime Now() override { return manual_.Now(); }
  MonotonicTime MonotonicNow() override {
    if (interruption) interruption();
    return manual_.MonotonicNow();
  }
  void Sleep(std::chrono::nanoseconds duration) override { manual_.Sleep(duration); }
  void Advance(std::chrono::nanoseconds duration) { manual_.Advance(duration); }

  std::function<void()> interruption;

 private:
  testing::ManualClock manual_;
};

class SaturationTest : public ::testing::Test {
 protected:
  SaturationTest() : path_(directory_.path() / "app.db"), app_(path_) {
    sqlite3_wal_autocheckpoint(app_.handle(), 0);
    app_.Run("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE t(x)");
  }

  std::unique_ptr<Capturer> Connect(Clock& clock) {
    auto capturer = std::make_unique<Capturer>(
        capture::CapturerOptions{.database = path_, .checkpoint = limits_, .flush_earlier = {}},
        registry_, fs_, clock, log_);
    EXPECT_OK(capturer->Connect({}));
    const WalState& state = capturer->captured();
    segment_ = std::make_unique<Segment>(fs_, directory_.path() / "segment", fs::Ownership{},
                                         capture::SegmentStart{.page_size = state.page_size,
                                                               .txid = Txid{1},
                                                               .position = state.position,
                                                               .commit_pages = state.commit_pages},
                                         capture::SegmentLimits{});
    return capturer;
  }

  void CommitFrames(int frames) {
    for (int i = 0; i < frames; ++i) app_.Run("UPDATE t SET x = x + 1");
  }

  // How far a checkpoint of the application's comes, which is as far as our mark lets it.
  struct Reach {
    int frames = 0;
    int backfilled = 0;
  };
  Reach CheckpointByTheApplication() {
    Reach reach;
    EXPECT_EQ(sqlite3_wal_checkpoint_v2(app_.handle(), "main", SQLITE_CHECKPOINT_PASSIVE,
                                        &reach.frames, &reach.backfilled),
              SQLITE_OK);
    return reach;
  }

  testing::TempDir directory_;
  fs::Path path_;
  App app_;
  capture::CheckpointLimits limits_{.threshold_frames = 40};
  fs::PosixFileSystem fs_;
  sqlite::OpenRegistry registry_{fs_};
  InterruptedClock clock_;
  testing::CapturingLogger log_;
  std::unique_ptr<Segment> segment_;
};

TEST_F(SaturationTest, OneLookPastTheHardBoundHasTheNextCommitStartTheWalOver) {
  app_.Run("INSERT INTO t VALUES (0)");
  auto capturer = Connect(clock_);
  for (int generation = 0; generation < 3; ++generation) {
    CommitFrames(static_cast<int>(limits_.hard_bound_frames()));
    ASSERT_OK_AND_ASSIGN(const LiveWal before, capturer->Live());
    // Commits whenever it can while we look; where it cannot, it does not wait.
    int busy = 0;
    clock_.interruption = [&] {
      if (app_.TryRun("UPDATE t SET x = x + 1") != SQLITE_OK) ++busy;
    };
    ASSERT_OK(capturer->Service(*segment_));
    clock_.interruption = nullptr;
    EXPECT_GT(busy, 0);
    CommitFrames(1);
    ASSERT_OK_AND_ASSIGN(const LiveWal after, capturer->Live());
    EXPECT_NE(after.state.position.salts, before.state.position.salts);
    EXPECT_LE(ToInt(after.state.position.frame), 10U);
    ASSERT_OK(capturer->CatchUp(*segment_));
    EXPECT_EQ(segment_->end().position, capturer->captured().position);
  }
}

// Each move of the mark would have the application's own automatic checkpoint copy and sync again.
TEST_F(SaturationTest, MarkStaysBehindWritersThatLeaveNoGapUntilTheyPause) {
  app_.Run("INSERT INTO t VALUES (0)");
  auto capturer = Connect(clock_);
  CommitFrames(40);
  clock_.interruption = [this] { CommitFrames(5); };
  ASSERT_OK(capturer->Service(*segment_));
  clock_.interruption = nullptr;
  const Reach mark = CheckpointByTheApplication();
  ASSERT_LT(mark.backfilled, mark.frames);

  clock_.Advance(milliseconds(1));
  CommitFrames(3);
  ASSERT_OK_AND_ASSIGN(const auto next, capturer->Service(*segment_));
  EXPECT_EQ(CheckpointByTheApplication().backfilled, mark.backfilled);
  // What is captured is not behind.
  ASSERT_OK_AND_ASSIGN(const LiveWal live, capturer->Live());
  EXPECT_EQ(segment_->end().position, live.state.position);

  // Somebody may be waiting for the mark, who tells nobody.
  ASSERT_TRUE(next && *next <= clock_.MonotonicNow() + milliseconds(5));
  clock_.Advance(milliseconds(5));
  ASSERT_OK(capturer->Service(*segment_));
  const Reach moved = CheckpointByTheApplication();
  EXPECT_EQ(moved.backfilled, moved.frames);
}

// The pause ended between two looks at the clock. A checkpoint copies up to the mark, so one beside
// a mark that stayed would come nowhere and pass for stopped by a reader.
TEST_F(SaturationTest, MarkThatStayedMovesBeforeACheckpointWithoutTheLock) {
  app_.Run("INSERT INTO t VALUES (0)");
  auto capturer = Connect(clock_);
  CommitFrames(40);
  clock_.interruption = [this] { CommitFrames(5); };
  ASSERT_OK(capturer->Service(*segment_));
  clock_.interruption = nullptr;
  clock_.Advance(milliseconds(1));
  CommitFrames(3);
  int looks = 0;
  clock_.interruption = [&] {
    if (++looks == 2) clock_.Advance(milliseconds(500));  // the first was for the mark
  };
  ASSERT_OK(capturer->Service(*segment_));
  clock_.interruption = nullptr;
  ASSERT_GE(looks, 2);
  ASSERT_OK_AND_ASSIGN(const LiveWal live, capturer->Live());
  EXPECT_EQ(live.backfilled, live.state.position.frame);
}

// It commits nothing, so a checkpoint needs no lock against it, and must not wait for its end.
TEST_F(SaturationTest, LongWriteTransactionPastTheHardBoundDoesNotKeepTheWalFromBeingCopied) {
  app_.Run("INSERT INTO t VALUES (0)");
  auto capturer = Connect(clock_);
  CommitFrames(static_cast<int>(limits_.hard_bound_frames()) + 5);
  App other(path_);
  other.Run("BEGIN IMMEDIATE");
  for (const MonotonicTime start = clock_.MonotonicNow();;) {
    ASSERT_OK_AND_ASSIGN(const auto next, capturer->Service(*segment_));
    if (!next) break;
    ASSERT_LT(clock_.MonotonicNow() - start, milliseconds(1200));
    clock_.Advance(*next - clock_.MonotonicNow());
  }
  ASSERT_OK_AND_ASSIGN(const LiveWal live, capturer->Live());
  EXPECT_EQ(live.backfilled, live.state.position.frame);
  other.Run("UPDATE t SET x = x + 1; COMMIT");
}

// What SQLite asks of the WRITE lock's byte of the wal-index.
int write_lock_calls = 0;
int CountWriteLockCalls(int descriptor, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  constexpr off_t kWriteLockByte = 120;
  if (command == F_SETLK) {
    const auto* lock = static_cast<const struct flock*>(argument);
    if (lock->l_start == kWriteLockByte && lock->l_type == F_WRLCK) ++write_lock_calls;
  }
  return ::fcntl(descriptor, command, argument);
}

// Taken again and again it would be ours most of the time, for as long as that checkpoint lasts.
TEST_F(SaturationTest, WriteLockIsNotTakenAgainWhileSomebodyElsesCheckpointGoesOn) {
  app_.Run("INSERT INTO t VALUES (0)");
  auto capturer = Connect(clock_);
  CommitFrames(static_cast<int>(limits_.hard_bound_frames()) + 5);
  App other(path_);
  other.Run("SELECT * FROM t");
  sqlite3_file* file = nullptr;
  ASSERT_EQ(sqlite3_file_control(other.handle(), "main", SQLITE_FCNTL_FILE_POINTER, &file),
            SQLITE_OK);
  constexpr int kCheckpointLock = 1;
  ASSERT_EQ(
      file->pMethods->xShmLock(file, kCheckpointLock, 1, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE),
      SQLITE_OK);
  sqlite3_vfs* vfs = sqlite3_vfs_find("unix");
  write_lock_calls = 0;
  vfs->xSetSystemCall(vfs, "fcntl", reinterpret_cast<sqlite3_syscall_ptr>(CountWriteLockCalls));
  int commits = 0;
  clock_.interruption = [&] {
    ++commits;
    CommitFrames(1);
  };
  const auto serviced = capturer->Service(*segment_);
  clock_.interruption = nullptr;
  vfs->xSetSystemCall(vfs, "fcntl", nullptr);
  EXPECT_OK(serviced);
  EXPECT_GT(write_lock_calls, commits);
  EXPECT_LE(write_lock_calls, commits + 2);

  file->pMethods->xShmLock(file, kCheckpointLock, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
  clock_.Advance(milliseconds(2));
  ASSERT_OK(capturer->Service(*segment_));
  ASSERT_OK_AND_ASSIGN(const LiveWal live, capturer->Live());
  EXPECT_EQ(live.backfilled, live.state.position.frame);
}

// Commits without pause, with SQLite's own automatic checkpoint and busy_timeout 0.
class SaturatingWriter {
 public:
  SaturatingWriter(const fs::Path& path, std::uint32_t hard_bound_frames)
      : app_(path), hard_bound_frames_(static_cast<int>(hard_bound_frames)) {
    app_.Run("PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=0");
    sqlite3_wal_hook(app_.handle(), &OnCommit, this);
    thread_ = std::thread([this] { Run(); });
  }
  ~SaturatingWriter() { Stop(); }
  SaturatingWriter(const SaturatingWriter&) = delete;
  SaturatingWriter& operator=(const SaturatingWriter&) = delete;

  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }

  int commits() const { return commits_; }
  int busy() const { return busy_; }
  int busy_below_the_hard_bound() const { return busy_below_; }
  int other_errors() const { return other_errors_; }

 private:
  static int OnCommit(void* self, sqlite3* db, const char* name, int frames) {
    static_cast<SaturatingWriter*>(self)->frames_ = frames;
    if (frames >= 1000) {
      sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
    }
    return SQLITE_OK;
  }

  void Run() {
    while (!stop_) {
      const int code = app_.TryRun("UPDATE t SET x = x + 1") & 0xff;
      if (code == SQLITE_OK) {
        ++commits_;
      } else if (code == SQLITE_BUSY) {
        ++busy_;
        // Nobody else writes, so the WAL is as long as this one's last commit left it.
        if (frames_ < hard_bound_frames_) ++busy_below_;
      } else {
        ++other_errors_;
      }
    }
  }

  App app_;
  const int hard_bound_frames_;
  int frames_ = 0;  // of the WAL, after the last commit
  std::atomic<bool> stop_ = false;
  std::atomic<int> commits_ = 0;
  std::atomic<int> busy_ = 0;
  std::atomic<int> busy_below_ = 0;
  std::atomic<int> other_errors_ = 0;
  std::thread thread_;
};

// How long the WAL gets depends on the machine. That it starts over beside a writer that leaves no
// gap, and that this writer is kept waiting only past the hard bound, does not.
TEST_F(SaturationTest, WriterWithoutABusyTimeoutSeesBusyOnlyPastTheHardBound) {
  app_.Run("INSERT INTO t VALUES (0)");
  limits_ = {.threshold_frames = 800};
  runtime::SystemClock clock;
  auto capturer = Connect(clock);
  SaturatingWriter writer(path_, limits_.hard_bound_frames());
  const MonotonicTime give_up = clock.MonotonicNow() + seconds(60);
  wal::Salts salts = capturer->captured().position.salts;
  int generations = 0;
  while (generations < 8) {
    ASSERT_LT(clock.MonotonicNow(), give_up) << generations << " generations";
    auto served = capturer->Service(*segment_);
    // Busy: the writer was in the middle of publishing.
    if (!served && served.error().code() != Errc::kBusy) ASSERT_OK(served);
    const wal::Salts& now = capturer->captured().position.salts;
    if (now != salts) ++generations;
    salts = now;
    clock.Sleep(milliseconds(1));
  }
  writer.Stop();
  EXPECT_EQ(writer.busy_below_the_hard_bound(), 0) << "of " << writer.busy();
  EXPECT_EQ(writer.other_errors(), 0);
  ASSERT_OK(capturer->CatchUp(*segment_));
  ASSERT_OK_AND_ASSIGN(const LiveWal live, capturer->Live());
  EXPECT_EQ(segment_->end().position, live.state.position);
  EXPECT_EQ(app_.Number("SELECT x FROM t"), writer.commits());
}

// What the test above counts is not the writer's own doing.
TEST_F(SaturationTest, WriterAloneNeverSeesBusy) {
  app_.Run("INSERT INTO t VALUES (0)");
  SaturatingWriter writer(path_, 0);
  while (writer.commits() < 5000 && writer.busy() == 0) std::this_thread::yield();
  writer.Stop();
  EXPECT_EQ(writer.busy() + writer.other_errors(), 0);
}

}  // namespace
}  // namespace runnel::tests
