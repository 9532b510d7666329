// Things that go wrong under a capture: the disk, files that vanish, a daemon that stops anywhere.

#include <algorithm>

#include "fs/file_operations.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"
#include "tests/capture/live_database.h"

namespace runnel::tests {
namespace {

using capture::DatabaseState;
using std::chrono::milliseconds;
using testing::FileFault;

class FaultsTest : public LiveDatabaseTest {
 protected:
  // A database with some pages, captured and cut once.
  void Prepare() {
    MakeDatabase();
    StartCapture();
    Settle();
    ASSERT_EQ(newest_cut_, Txid{1});
    log_.Clear();
  }

  void MakeDatabase() {
    app_ = std::make_unique<App>(path_);
    app_->Run(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; CREATE TABLE t(id INTEGER PRIMARY KEY, "
        "x); WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 60) "
        "INSERT INTO t(x) SELECT randomblob(1500) FROM n");
  }

  void Write(int i) {
    app_->Run("UPDATE t SET x = randomblob(1500) WHERE id % 19 = " + std::to_string(i % 19));
  }

  bool RunUntil(DatabaseState state) {
    for (int i = 0; i < 1000; ++i) {
      if (database().status().state == state) return true;
      if (!scheduler_->RunOne()) scheduler_->Advance(milliseconds(1));
    }
    return false;
  }

  std::unique_ptr<App> app_;
};

TEST_F(FaultsTest, FullDiskUnderTheSegmentStopsNeitherTheDaemonNorTheApplication) {
  options_.segment = {.buffer_bytes = 20'000, .table_entries = 8};
  Prepare();
  FailWrites("segment-", {.code = Errc::kNoSpace, .duration = FileFault::Duration::kFromThenOn});
  for (int i = 0; i < 10; ++i) {
    app_->Run("UPDATE t SET x = randomblob(1500)");
    Settle(milliseconds(300));
  }
  ASSERT_TRUE(database().status().error);
  EXPECT_EQ(database().status().error->code(), Errc::kNoSpace);
  EXPECT_FALSE(database().RequestCut());
  fs_.Heal();
  Settle();
  EXPECT_FALSE(log_.Contains("comparing the database"));
  EXPECT_FALSE(database().status().error);
  ExpectStagedEqualsLive();
}

TEST_F(FaultsTest, FullDiskForLongGivesTheWalBackToTheApplication) {
  options_.segment = {.buffer_bytes = 20'000, .table_entries = 8};
  options_.checkpoint.threshold_frames = 20;
  Prepare();
  FailWrites("segment-", {.code = Errc::kNoSpace, .duration = FileFault::Duration::kFromThenOn});
  for (int i = 0; i < 30; ++i) {
    app_->Run("UPDATE t SET x = randomblob(1500)");
    Settle(milliseconds(300));
  }
  // 16 thresholds, and what was written until somebody looked.
  EXPECT_LT(fs_.Stat(path_.string() + "-wal")->size_bytes, 400U * 4120U);
  fs_.Heal();
  Settle(milliseconds(10'000));
  EXPECT_TRUE(log_.Contains("comparing the database"));
  ExpectStagedEqualsLive();
}

TEST_F(FaultsTest, FullDiskDuringStopIsAnErrorAndLosesNothing) {
  options_.segment = {.buffer_bytes = 20'000, .table_entries = 8};
  Prepare();
  FailWrites("runnel/segment-",
             {.code = Errc::kNoSpace, .duration = FileFault::Duration::kFromThenOn});
  app_->Run("UPDATE t SET x = randomblob(1500)");
  (void)StopCapture();
  fs_.Heal();
  StartCapture();
  Settle();
  ExpectStagedEqualsLive();
}

// What follows a cut fails, then making good for it fails too.
TEST_F(FaultsTest, LocalStateThatCouldNotFollowACutIsMadeGoodLater) {
  Prepare();
  FailWrites("/runnel/p",  // position, pages
             {.code = Errc::kNoSpace, .duration = FileFault::Duration::kFromThenOn});
  for (int i = 0; i < 5; ++i) {
    Write(i);
    Settle(milliseconds(2000));
  }
  EXPECT_GT(newest_cut_, Txid{1});
  fs_.Heal();
  Write(7);
  Settle(milliseconds(40'000));
  EXPECT_FALSE(database().status().error);
  ExpectStagedEqualsLive();
}

TEST_F(FaultsTest, LossAfterACutThatLocalStateDidNotFollowIsComparedWithThatCut) {
  Prepare();
  const Bytes before = Materialize();
  FailWrites("/runnel/p", {.code = Errc::kNoSpace});
  Write(1);
  Settle();
  ASSERT_EQ(newest_cut_, Txid{2});
  // The database goes back to what it was at the first cut.
  const fs::Path other = directory_.path() / "other.db";
  ASSERT_OK(fs::ReplaceFile(posix_, other, before, {}));
  app_.reset();
  ASSERT_OK(posix_.Rename(other, path_));
  for (const char* suffix : {"-wal", "-shm"}) (void)posix_.Remove(path_.string() + suffix);
  database().NotifyMoved();
  Settle(milliseconds(5000));
  EXPECT_EQ(newest_cut_, Txid{3});
  ExpectStagedEqualsLive();
}

TEST_F(FaultsTest, PageChecksumsThatVanishCostAScanOfEverything) {
  Prepare();
  ASSERT_OK(posix_.Remove(options_.state_folder / "runnel" / "pages"));
  Write(1);
  Settle(milliseconds(5000));
  EXPECT_GE(newest_cut_, Txid{2});
  EXPECT_EQ(database().status().state, DatabaseState::kCapturing);
  // A new chain begins: applied alone, the newest cuts hold every page.
  ExpectEqualsLive(Materialize(Txid{~0ULL}, {}, Txid{1}));
  Write(2);
  Settle();
  ExpectStagedEqualsLive();
}

TEST_F(FaultsTest, PageChecksumsThatVanishWhileTheyAreNeededCostAScanOfEverything) {
  Prepare();
  FailWrites("/runnel/position", {.code = Errc::kIo});
  Write(1);
  Settle();
  ASSERT_EQ(newest_cut_, Txid{2});
  ASSERT_OK(posix_.Remove(options_.state_folder / "runnel" / "pages"));
  Write(2);
  Settle(milliseconds(5000));
  EXPECT_GE(newest_cut_, Txid{3});
  EXPECT_EQ(database().status().state, DatabaseState::kCapturing);
  // A new chain begins: applied alone, the newest cuts hold every page.
  ExpectEqualsLive(Materialize(Txid{~0ULL}, {}, Txid{2}));
}

TEST_F(FaultsTest, CrashWithACutThatCouldNotBeMadeGoesOnThoughTheWalStartedOver) {
  options_.checkpoint.threshold_frames = 20;
  Prepare();
  FailWrites("ltx/0", {.code = Errc::kNoSpace, .duration = FileFault::Duration::kFromThenOn});
  for (int i = 0; i < 30; ++i) {
    Write(i);
    Settle(milliseconds(100));
  }
  ASSERT_EQ(newest_cut_, Txid{1});
  Crash();
  fs_.Heal();
  StartCapture();
  Settle();
  EXPECT_FALSE(log_.Contains("comparing the database"));
  EXPECT_EQ(newest_cut_, Txid{3});
  ExpectStagedEqualsLive();
}

TEST_F(FaultsTest, ReplicaThatIsAheadOfACutThatCouldNotBeMadeGetsEveryPage) {
  Prepare();
  FailWrites("ltx/0", {.code = Errc::kNoSpace, .duration = FileFault::Duration::kFromThenOn});
  for (int i = 0; i < 4; ++i) {
    Write(i);
    Settle();
  }
  ASSERT_FALSE(StopCapture());
  fs_.Heal();
  StartCapture();
  ASSERT_OK(database().AdoptHistory(Txid{41}));
  Settle(milliseconds(5000));
  EXPECT_EQ(newest_cut_, Txid{42});
  ExpectStagedEqualsLive();
}

TEST_F(FaultsTest, ReplicaIsFoundAheadInEveryState) {
  Prepare();
  for (int runs = 0; runs < 25; ++runs) {
    SCOPED_TRACE(runs);
    const Txid ahead{ToInt(newest_cut_) + 10};
    Write(runs);
    database().NotifyWritten();
    for (int i = 0; i < runs; ++i) {
      if (!scheduler_->RunOne()) scheduler_->Advance(milliseconds(1));
    }
    ASSERT_OK(database().AdoptHistory(ahead));
    Settle(milliseconds(5000));
    EXPECT_EQ(newest_cut_, Txid{ToInt(ahead) + 1});
    ExpectStagedEqualsLive();
    if (HasFailure()) return;
  }
}

TEST_F(FaultsTest, StopIsCleanInEveryState) {
  MakeDatabase();
  for (int runs = 0; runs < 40; ++runs) {
    SCOPED_TRACE(runs);
    if (runs % 3 == 0) (void)fs::RemoveTree(posix_, options_.state_folder);
    if (runs % 3 == 1) (void)posix_.Remove(options_.state_folder / "runnel" / "pages");
    StartCapture();
    for (int i = 0; i < runs; ++i) {
      if (i == runs / 2) Write(runs);
      if (!scheduler_->RunOne()) scheduler_->Advance(milliseconds(1));
    }
    ASSERT_OK(StopCapture());
    Write(runs + 1);
    StartCapture();
    Settle(milliseconds(3000));
    ExpectStagedEqualsLive();
    ASSERT_OK(StopCapture());
    if (HasFailure()) return;
  }
}

// The first copy is interrupted after capture took its place, with commits that are in the WAL
// alone.
TEST_F(FaultsTest, ScanThatWasInterruptedStillHasToFindWhatWasMissed) {
  MakeDatabase();
  app_->Run("PRAGMA wal_autocheckpoint=0; UPDATE t SET x = randomblob(1400)");
  int keep_wal = 1;
  ASSERT_EQ(sqlite3_db_config(app_->handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, &keep_wal),
            SQLITE_OK);
  app_.reset();
  StartCapture();
  ASSERT_TRUE(RunUntil(DatabaseState::kScanning));
  ASSERT_OK(posix_.Remove(path_.string() + "-shm"));
  database().NotifyMoved();
  Settle(milliseconds(5000));
  EXPECT_EQ(newest_cut_, Txid{1});
  ExpectStagedEqualsLive();
}

TEST_F(FaultsTest, DamagedFrameOfTheWalIsReportedAndRepairedFromTheDatabase) {
  Prepare();
  Write(1);
  // The last frame's page, before anybody captured it.
  const fs::Path wal = path_.string() + "-wal";
  {
    ASSERT_OK_AND_ASSIGN(auto file, posix_.Open(wal, fs::OpenMode::kReadWrite));
    ASSERT_OK_AND_ASSIGN(const fs::FileInfo info, file->Info());
    const Bytes zeros(8);
    ASSERT_OK(file->WriteAt(info.size_bytes - 16, zeros));
  }
  Settle(milliseconds(200));
  EXPECT_TRUE(log_.Contains("frame"));
  const Txid before = newest_cut_;
  EXPECT_EQ(before, Txid{1});
  // The checkpoint that is due after a minute brings the page into the database, as SQLite has it.
  scheduler_->Advance(std::chrono::minutes(3));
  EXPECT_EQ(database().status().state, DatabaseState::kCapturing);
  EXPECT_GT(newest_cut_, before);
  const Bytes staged = Materialize();
  app_->Run("PRAGMA wal_checkpoint(TRUNCATE)");
  Settle();
  ASSERT_OK_AND_ASSIGN(const Bytes live, fs::ReadFile(posix_, path_, std::size_t{1} << 26));
  EXPECT_TRUE(Materialize() == live);
}

TEST_F(FaultsTest, StateFolderThatVanishesIsNamedAndMadeAgain) {
  Prepare();
  ASSERT_OK(fs::RemoveTree(posix_, options_.state_folder));
  for (int i = 0; i < 5; ++i) {
    Write(i);
    Settle(milliseconds(1000));
  }
  EXPECT_TRUE(log_.Contains(options_.state_folder.string()));
  EXPECT_FALSE(database().status().error);
  EXPECT_FALSE(log_.Contains("waiting for the database"));
  const Txid newest = newest_cut_;
  EXPECT_GT(newest, Txid{1});
  ExpectStagedEqualsLive();
  // Another daemon takes over from nothing.
  Crash();
  ASSERT_OK(fs::RemoveTree(posix_, options_.state_folder));
  StartCapture();
  ASSERT_OK(database().AdoptHistory(newest));
  Settle(milliseconds(5000));
  EXPECT_EQ(newest_cut_, Next(newest));
  ExpectStagedEqualsLive();
}

TEST_F(FaultsTest, ScanThatIsStillOpenDoesNotKeepCaptureFromBeginningAnew) {
  Prepare();
  ASSERT_OK_AND_ASSIGN(auto scan, database().BeginScan());
  FailWrites("runnel/segment-", {.code = Errc::kPermissionDenied});
  options_.segment = {};
  app_->Run("PRAGMA wal_checkpoint(PASSIVE)");
  Write(1);
  Settle(milliseconds(1));
  fs_.Heal();
  app_->Run("PRAGMA wal_checkpoint(PASSIVE)");
  Settle(milliseconds(5000));
  EXPECT_EQ(database().status().state, DatabaseState::kCapturing);
  ExpectStagedEqualsLive();
  scan.reset();
}

// Twenty commits, several generations of the WAL, one failure at the n-th change of a state file.
class EveryFailure : public FaultsTest {
 protected:
  // Returns whether there was an n-th call.
  bool RunScenario(std::uint64_t n, FileFault fault) {
    path_ = directory_.path() / (std::to_string(n) + ".db");
    options_.database = path_;
    options_.state_folder = directory_.path() / ("." + std::to_string(n) + "-litestream");
    options_.checkpoint.threshold_frames = 15;
    options_.segment = {.buffer_bytes = 12'000, .table_entries = 6};
    MakeDatabase();
    fs_.CountOnly([](const testing::FileCallRecord& call) {
      return testing::IsMutating(call.call) &&
             call.path.native().find("-litestream") != std::string::npos;
    });
    fs_.FailAt(n, fault);
    bool started = false;
    for (int i = 0; i < 20; ++i) {
      if (!started) started = TryStart();
      Write(i);
      if (i == 12 && started) {
        Crash();
        started = TryStart();
      }
      if (started) Settle(milliseconds(i % 4 == 0 ? 1100 : 30));
    }
    const bool reached = fs_.failure_count() > 0;
    fs_.Heal();
    if (!started) started = TryStart();
    EXPECT_TRUE(started);
    Settle(milliseconds(60'000));
    EXPECT_FALSE(database().status().error);
    ExpectStagedEqualsLive();
    // And the state is one that the next daemon can go on from.
    Crash();
    EXPECT_TRUE(TryStart());
    Write(3);
    Settle(milliseconds(2000));
    ExpectStagedEqualsLive();
    if (HasFailure()) ADD_FAILURE() << fs_.RecentCalls();
    Crash();
    app_.reset();
    for (const char* suffix : {"", "-wal", "-shm"}) (void)posix_.Remove(path_.string() + suffix);
    (void)fs::RemoveTree(posix_, options_.state_folder);
    return reached;
  }

  bool TryStart() {
    database_ = std::make_unique<capture::Database>(options_,
                                                    capture::Environment{.fs = fs_,
                                                                         .registry = *registry_,
                                                                         .clock = clock_,
                                                                         .log = log_,
                                                                         .scheduler = *scheduler_},
                                                    *this);
    if (!database_->Start()) {
      database_.reset();
      return false;
    }
    EXPECT_OK(database_->AdoptHistory(Txid{0}));
    return true;
  }

  void RunAll(std::uint64_t stride) {
    constexpr FileFault kFaults[] = {
        {.code = Errc::kIo},
        {.code = Errc::kNoSpace,
         .duration = FileFault::Duration::kFromThenOn,
         .effect = FileFault::Effect::kPartial},
        {.code = Errc::kIo, .effect = FileFault::Effect::kWhole},
    };
    std::uint64_t which = 0;
    for (const FileFault& fault : kFaults) {
      std::uint64_t n = 1 + which++;
      for (; RunScenario(n, fault); n += stride) {
        ASSERT_FALSE(HasFailure()) << "n = " << n << ", fault " << which;
      }
      RecordProperty("calls", static_cast<int>(n));
    }
  }
};

using EveryFailureTest = EveryFailure;
TEST_F(EveryFailureTest, OfAScenarioLeavesAWholeHistory) { RunAll(29); }

using EveryFailureSlowTest = EveryFailure;
TEST_F(EveryFailureSlowTest, OfAScenarioLeavesAWholeHistory) { RunAll(1); }

}  // namespace
}  // namespace runnel::tests
