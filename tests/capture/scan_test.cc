// Scans without a read transaction, while applications write, shrink, grow and checkpoint.

#include <algorithm>

#include "testing/result_matchers.h"
#include "testing/seeded_random.h"
#include "tests/capture/live_database.h"

namespace runnel::tests {
namespace {

using capture::DatabaseState;
using std::chrono::milliseconds;

class ScanTest : public LiveDatabaseTest {
 protected:
  void Prepare() {
    app_ = std::make_unique<App>(path_);
    app_->Run(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0; "
        "CREATE TABLE t(id INTEGER PRIMARY KEY, x); "
        "WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 300) "
        "INSERT INTO t(x) SELECT randomblob(1500) FROM n");
    StartCapture();
    Settle();
    ASSERT_EQ(newest_cut_, Txid{1});
  }

  // Something that an application does.
  void Disturb() {
    const std::string id = std::to_string(random_.Below(400));
    switch (random_.Below(8)) {
      case 0: app_->Run("DELETE FROM t WHERE id % 7 = " + std::to_string(random_.Below(7))); break;
      case 1: app_->Run("VACUUM"); break;
      case 2: app_->TryRun("PRAGMA wal_checkpoint(PASSIVE)"); break;
      case 3: app_->TryRun("PRAGMA wal_checkpoint(TRUNCATE)"); break;
      case 4: app_->Run("INSERT INTO t(x) SELECT randomblob(2500) FROM t LIMIT 40"); break;
      default:
        app_->Run("UPDATE t SET x = randomblob(1500) WHERE id % 50 = " + id + " % 50");
        break;
    }
    database().NotifyWritten();
  }

  // Reads on and writes the pages where they belong.
  bool StepInto(capture::DatabaseScan& scan, std::uint64_t bytes, Bytes& file) {
    file.resize(std::size_t{scan.start().commit_pages} * scan.start().page_size);
    auto more = scan.Step(bytes, [&](PageNo page_no, ByteView page) -> Result<void> {
      const std::size_t offset = std::size_t{ToInt(page_no) - 1} * page.size();
      std::ranges::copy(page, file.begin() + static_cast<std::ptrdiff_t>(offset));
      return {};
    });
    EXPECT_TRUE(testing::IsOk(more));
    return more && *more;
  }

  // The scan's pages and the cuts after its base, up to one behind its end, are the database.
  void ExpectSnapshot(capture::DatabaseScan& scan, Bytes file) {
    ASSERT_TRUE(database().IsCurrent(scan));
    ASSERT_OK(database().RequestCut());
    Settle(milliseconds(3000));
    const Bytes snapshot = Materialize(Txid{~0ULL}, std::move(file), scan.base());
    EXPECT_TRUE(snapshot == Materialize());
    ExpectEqualsLive(snapshot);
  }

  std::unique_ptr<App> app_;
  testing::SeededRandom random_{77};
};

TEST_F(ScanTest, WithTheCutsAfterItsBaseIsTheDatabaseWhateverHappensMeanwhile) {
  options_.segment = {.buffer_bytes = 60'000, .table_entries = 16};
  options_.checkpoint.threshold_frames = 60;
  Prepare();
  for (int round = 0; round < 25; ++round) {
    SCOPED_TRACE(round);
    for (int i = 0; i < 3; ++i) Disturb();
    scheduler_->Advance(milliseconds(random_.Below(50)));
    ASSERT_OK_AND_ASSIGN(auto scan, database().BeginScan());
    Bytes file;
    while (StepInto(*scan, 4096 * (1 + random_.Below(40)), file)) {
      Disturb();
      scheduler_->Advance(milliseconds(random_.Below(400)));
    }
    ExpectSnapshot(*scan, std::move(file));
    if (HasFailure()) return;
  }
}

TEST_F(ScanTest, TwoAtATimeWithSpilledOverlaysDoNotDisturbEachOther) {
  options_.segment = {.buffer_bytes = 20'000, .table_entries = 16};
  Prepare();
  app_->Run("UPDATE t SET x = randomblob(1500)");
  Settle(milliseconds(50));
  ASSERT_OK_AND_ASSIGN(auto first, database().BeginScan());
  app_->Run("UPDATE t SET x = randomblob(1400)");
  Settle(milliseconds(50));
  ASSERT_OK_AND_ASSIGN(auto second, database().BeginScan());
  Bytes first_file;
  Bytes second_file;
  while (StepInto(*second, 100'000, second_file)) StepInto(*first, 50'000, first_file);
  while (StepInto(*first, 100'000, first_file)) {
  }
  ExpectSnapshot(*first, std::move(first_file));
  first.reset();
  ExpectSnapshot(*second, std::move(second_file));
}

TEST_F(ScanTest, KeepsTheCutsThatItNeedsFromBeingPruned) {
  Prepare();
  ASSERT_OK_AND_ASSIGN(auto scan, database().BeginScan());
  for (int i = 0; i < 4; ++i) {
    app_->Run("UPDATE t SET x = randomblob(1500) WHERE id = 5");
    Settle(milliseconds(1500));
  }
  ASSERT_EQ(newest_cut_, Txid{5});
  database().ReleaseCuts(newest_cut_);
  scheduler_->Advance(std::chrono::minutes(2));
  ASSERT_EQ(database().staging().files().front().txid, Next(scan->base()));
  scan.reset();
  app_->Run("UPDATE t SET x = randomblob(1500) WHERE id = 6");
  Settle(std::chrono::minutes(2));
  EXPECT_EQ(database().staging().files().front().txid, Txid{6});
}

TEST_F(ScanTest, CountsForNothingAfterContinuityWasLost) {
  Prepare();
  ASSERT_OK_AND_ASSIGN(auto scan, database().BeginScan());
  EXPECT_TRUE(database().IsCurrent(*scan));
  ASSERT_OK(posix_.Remove(path_.string() + "-shm"));
  database().NotifyMoved();
  scheduler_->RunReady();
  EXPECT_FALSE(database().IsCurrent(*scan));
}

TEST_F(ScanTest, TimeNeverGoesBackFromCutToCutThoughTheClockDoes) {
  Prepare();
  const WallTime start = clock_.Now();
  WallTime last = database().status().newest_at;
  for (int i = 0; i < 6; ++i) {
    clock_.SetWallTime(start - std::chrono::hours(i));
    app_->Run("UPDATE t SET x = randomblob(1500) WHERE id = 5");
    Settle();
    EXPECT_GT(database().status().newest_at, last);
    last = database().status().newest_at;
  }
  EXPECT_LE(last - start, std::chrono::seconds(5));
}

TEST_F(ScanTest, ApplicationInExclusiveModeIsWaitedForAndCapturedOnceItHasLeft) {
  {
    App exclusive(path_);
    exclusive.Run(
        "PRAGMA journal_mode=WAL; PRAGMA locking_mode=EXCLUSIVE; CREATE TABLE t(x); "
        "INSERT INTO t VALUES (1)");
    StartCapture();
    Settle();
    ASSERT_EQ(database().status().state, DatabaseState::kWaiting);
    EXPECT_EQ(database().status().error->code(), Errc::kBusy);
    exclusive.Run("INSERT INTO t VALUES (2)");
  }
  Settle(milliseconds(7000));
  EXPECT_EQ(newest_cut_, Txid{1});
  ExpectStagedEqualsLive();
}

TEST_F(ScanTest, EmptyFileIsWaitedForUntilItIsADatabase) {
  {
    ASSERT_OK_AND_ASSIGN(const auto file, posix_.Open(path_, fs::OpenMode::kCreateNew));
  }
  StartCapture();
  Settle();
  EXPECT_EQ(database().status().state, DatabaseState::kWaiting);
  App app(path_);
  app.Run("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
  Settle(milliseconds(7000));
  EXPECT_EQ(newest_cut_, Txid{1});
  ExpectStagedEqualsLive();
}

}  // namespace
}  // namespace runnel::tests
