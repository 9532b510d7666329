// Replication of a real database under real capture.

#include "replicate/capture_source.h"

#include <gmock/gmock.h>

#include <optional>

#include "fs/file_operations.h"
#include "fs/posix_file_system.h"
#include "replicate/replica_set.h"
#include "replicate/verify.h"
#include "testing/live_database.h"
#include "testing/replica_world.h"

namespace runnel::replicate {
namespace {

using namespace std::chrono_literals;
using runnel::testing::App;
using testing::RestoreFrom;

class CaptureSourceTest : public runnel::testing::LiveDatabaseTest,
                          private capture::DatabaseObserver {
 protected:
  ~CaptureSourceTest() override { Stop(); }

  void Start() {
    capture::DatabaseObserver& observer = *this;
    database.emplace(capture::DatabaseOptions{.database = path_,
                                              .state_folder = directory_.path() / "state",
                                              .sync_interval = 1s,
                                              .checkpoint = {},
                                              .segment = {}},
                     capture::Environment{.fs = file_system_,
                                          .registry = registry_,
                                          .clock = clock,
                                          .log = log,
                                          .scheduler = scheduler},
                     observer);
    // The staging is there once the database has started.
    ASSERT_OK(database->Start());
    source.emplace(*database);
    DestinationTarget target{.settings = {}, .store = &memory, .layout = layout};
    target.settings.name = "one";
    target.settings.snapshot_interval = 10min;
    target.settings.level_intervals = {30s, 2min};
    target.settings.l0_retention = 1min;
    set.emplace(std::vector{target}, *source,
                ClaimIdentity{.host = "h", .boot_id = "b", .database = "d"},
                LocalFiles{.spool_folder = directory_.path() / "state/runnel", .ownership = {}},
                Environment{.fs = file_system_,
                            .clock = clock,
                            .random = random,
                            .log = log,
                            .scheduler = scheduler});
    set->Start();
    database->NotifyWritten();
    scheduler.Advance(2s);
  }

  void Stop() {
    if (database) EXPECT_OK(database->Stop());
    if (set) scheduler.Advance(2s);
    set.reset();
    source.reset();
    database.reset();
  }

  void Write(App& app, const std::string& sql) {
    app.Run(sql);
    database->NotifyWritten();
    scheduler.Advance(2s);
  }

  // The copy in the store, opened by SQLite, has the application's rows.
  void ExpectRestores(App& app) {
    const auto restored = RestoreFrom(memory, layout);
    ASSERT_OK(restored);
    const fs::Path copy = directory_.path() / "copy.db";
    ASSERT_OK_AND_ASSIGN(const auto file, file_system_.Open(copy, fs::OpenMode::kCreate));
    ASSERT_OK(file->Truncate(0));
    for (const auto& [page_no, page] : restored->pages) {
      ASSERT_OK(file->WriteAt((std::uint64_t{ToInt(page_no)} - 1) * page.size(), page));
    }
    App reader(copy);
    EXPECT_EQ(reader.Get("PRAGMA integrity_check"), "ok");
    const std::string query =
        "SELECT count(*) || ' ' || total(x) || ' ' || total(length(x)) FROM t";
    EXPECT_EQ(reader.Get(query), app.Get(query));
    const auto verified = VerifyReplica(memory, layout, {}, {});
    ASSERT_OK(verified);
    EXPECT_TRUE(verified->ok()) << verified->findings[0].object << verified->findings[0].problem;
  }

  runnel::testing::ManualClock clock;
  runnel::testing::ManualScheduler scheduler{clock};
  runnel::testing::SeededRandom random{5};
  runnel::testing::CapturingLogger log;
  store::MemoryStore memory{clock};
  const store::ReplicaLayout layout{store::LayoutKind::kTree, "db"};
  std::optional<capture::Database> database;
  std::optional<CaptureSource> source;
  std::optional<ReplicaSet> set;

 private:
  void OnCut(Txid) override {
    if (set) set->OnCut();
  }
  void OnStatus() override {
    if (set) set->OnCut();
  }
};

TEST_F(CaptureSourceTest, AnApplicationsCommitsReachTheStore) {
  App app(path_);
  Start();
  for (int i = 0; i < 30; ++i) {
    Write(app, "INSERT INTO t VALUES(randomblob(2000)), (" + std::to_string(i) + ")");
  }
  EXPECT_EQ(set->durable_txid(), database->status().newest);
  ExpectRestores(app);
}

TEST_F(CaptureSourceTest, SnapshotsAreScannedFromTheLiveDatabase) {
  App app(path_);
  Start();
  Write(app,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500) "
        "INSERT INTO t SELECT randomblob(3000) FROM n");
  scheduler.Advance(11min);
  for (int i = 0; i < 20; ++i) Write(app, "UPDATE t SET x = randomblob(100) WHERE rowid = 7");
  scheduler.Advance(11min);
  EXPECT_GE(set->status()[0].counters.snapshots, 1U);
  ExpectRestores(app);
}

TEST_F(CaptureSourceTest, GoesOnAfterARestartAndAfterTheStateIsLost) {
  App app(path_);
  Start();
  Write(app, "INSERT INTO t VALUES(2)");
  Stop();
  app.Run("INSERT INTO t VALUES(3)");
  Start();
  Write(app, "INSERT INTO t VALUES(4)");
  ExpectRestores(app);
  const Txid before = set->durable_txid();
  Stop();
  ASSERT_OK(fs::RemoveTree(file_system_, directory_.path() / "state"));
  Start();
  Write(app, "INSERT INTO t VALUES(5)");
  scheduler.Advance(5s);
  EXPECT_GT(set->durable_txid(), before);
  ExpectRestores(app);
}

}  // namespace
}  // namespace runnel::replicate
