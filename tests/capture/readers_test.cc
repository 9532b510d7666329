// More readers of the application's than SQLite has read slots (five, of which slot 0 is only for
// who finds everything in the database file): slots are shared then, ours as well.

#include <algorithm>
#include <vector>

#include "tests/capture/live_database.h"

namespace runnel::tests {
namespace {

using std::chrono::milliseconds;

constexpr int kReaders = 6;
constexpr std::uint32_t kThreshold = 50;
constexpr std::uint64_t kFrameBytes = 24 + 4096;

enum class Leaves : std::uint8_t { kOldestFirst, kNewestFirst };

class ReadersTest : public LiveDatabaseTest, public ::testing::WithParamInterface<Leaves> {
 protected:
  ReadersTest() : writer_(path_) {
    sqlite3_wal_autocheckpoint(writer_.handle(), 0);
    writer_.Run("PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x)");
    options_.checkpoint.threshold_frames = kThreshold;
  }

  void Write() { writer_.Run("INSERT INTO t(x) VALUES (randomblob(3000))"); }

  // One that sees the present state until it leaves.
  void Enter() {
    Reader reader{.app = std::make_unique<App>(path_), .rows = 0};
    reader.app->Run("BEGIN");
    reader.rows = reader.app->Number(kCount);
    readers_.push_back(std::move(reader));
  }

  void ExpectReadersSeeWhatTheySaw() {
    for (const Reader& reader : readers_) EXPECT_EQ(reader.app->Number(kCount), reader.rows);
  }

  void Leave() {
    const auto at = GetParam() == Leaves::kOldestFirst ? readers_.begin() : readers_.end() - 1;
    at->app->Run("COMMIT");
    readers_.erase(at);
  }

  std::uint64_t FramesInWal() { return database().status().wal_bytes / kFrameBytes; }

  void ExpectNothingWasMissed() {
    EXPECT_FALSE(log_.Contains("comparing the database"));
    EXPECT_FALSE(log_.Contains("", LogLevel::kWarn));
    ExpectStagedEqualsLive();
  }

  // Once nobody pins it, the WAL is short again, and stays so.
  void ExpectWalRecovers() {
    Settle(milliseconds(10'000));  // longer than the back-off from a reader
    for (int i = 0; i < 100; ++i) {
      Write();
      Settle(milliseconds(20));
      ASSERT_LE(FramesInWal(), kThreshold + 10) << "after " << i;
    }
  }

  struct Reader {
    std::unique_ptr<App> app;
    std::int64_t rows;
  };
  static constexpr const char* kCount = "SELECT count(*) FROM t";

  App writer_;
  std::vector<Reader> readers_;
};
INSTANTIATE_TEST_SUITE_P(Order, ReadersTest,
                         ::testing::Values(Leaves::kOldestFirst, Leaves::kNewestFirst),
                         [](const auto& info) {
                           return info.param == Leaves::kOldestFirst ? "OldestFirst"
                                                                     : "NewestFirst";
                         });

TEST_P(ReadersTest, SixThatComeOneByOneLoseNothingAndTheWalRecoversWhenTheyLeave) {
  StartCapture();
  Settle();
  log_.Clear();
  for (int i = 0; i < kReaders; ++i) {
    for (int j = 0; j < 5; ++j) {
      Write();
      Settle(milliseconds(20));
    }
    Enter();
  }
  for (int i = 0; i < 200; ++i) {
    Write();
    if (i % 3 == 0) Settle(milliseconds(20));
  }
  EXPECT_GT(FramesInWal(), std::uint64_t{4 * kThreshold}) << "the readers pin nothing";
  ExpectReadersSeeWhatTheySaw();
  Settle();
  ExpectNothingWasMissed();

  while (!readers_.empty()) {
    Leave();
    for (int i = 0; i < 10; ++i) {
      Write();
      Settle(milliseconds(20));
    }
    ExpectReadersSeeWhatTheySaw();
  }
  // Each that left gave way to the next one's mark: no reason to take the WRITE lock.
  EXPECT_FALSE(log_.Contains("could not be emptied under the write lock"));
  ExpectWalRecovers();
  Settle();
  ExpectNothingWasMissed();
}

// All slots are taken when we come, at marks of others: we share one, and must not take its going
// for ours.
TEST_P(ReadersTest, CaptureThatFindsEverySlotTakenHoldsTheWalByASharedOne) {
  for (int i = 0; i < kReaders; ++i) {
    Write();
    Enter();
  }
  Write();
  StartCapture();
  Settle();
  ExpectStagedEqualsLive();
  log_.Clear();
  while (!readers_.empty()) {
    Write();
    Settle(milliseconds(20));
    Leave();
    // An application that empties the WAL as soon as it may, between two looks of ours.
    writer_.TryRun("PRAGMA wal_checkpoint(RESTART)");
    Write();
    writer_.TryRun("PRAGMA wal_checkpoint(TRUNCATE)");
    Write();
    ExpectReadersSeeWhatTheySaw();
  }
  Settle();
  ExpectNothingWasMissed();
  ExpectWalRecovers();
  Settle();
  ExpectNothingWasMissed();
}

TEST_P(ReadersTest, DaemonThatCrashesBesideSixGoesOnWhereItWas) {
  StartCapture();
  Settle();
  log_.Clear();
  for (int i = 0; i < kReaders; ++i) {
    Write();
    Settle(milliseconds(20));
    Enter();
  }
  for (int i = 0; i < 60; ++i) {
    Write();
    Settle(milliseconds(20));
    if (i % 10 == 9) {
      Crash();
      Write();
      if (!readers_.empty()) Leave();
      StartCapture();
    }
  }
  EXPECT_TRUE(readers_.empty());
  Settle();
  ExpectNothingWasMissed();
  ExpectWalRecovers();
}

// The scan runs under a shared slot too.
TEST_P(ReadersTest, FirstCopyBesideSixIsTheDatabaseAsOfItsEnd) {
  for (int i = 0; i < 100; ++i) Write();
  writer_.Run("PRAGMA wal_checkpoint(PASSIVE)");
  for (int i = 0; i < kReaders; ++i) {
    writer_.Run("UPDATE t SET x = randomblob(2000) WHERE id % 7 = " + std::to_string(i));
    Enter();
  }
  StartCapture();
  for (int i = 0; i < 20; ++i) {
    writer_.Run("UPDATE t SET x = randomblob(2500) WHERE id % 11 = " + std::to_string(i % 11));
    Settle(milliseconds(1));
    if (i % 3 == 0 && !readers_.empty()) Leave();
  }
  Settle();
  ExpectStagedEqualsLive();
  while (!readers_.empty()) Leave();
  ExpectWalRecovers();
  Settle();
  ExpectStagedEqualsLive();
}

}  // namespace
}  // namespace runnel::tests
