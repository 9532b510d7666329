// Databases on a real disk under a server, on one thread and on manual time.

#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "fs/posix_file_system.h"
#include "restore/restore.h"
#include "server/daemon.h"
#include "store/file_store.h"
#include "testing/capturing_logger.h"
#include "testing/live_database.h"
#include "testing/manual_clock.h"
#include "testing/manual_directory_watcher.h"
#include "testing/manual_scheduler.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"
#include "testing/temp_dir.h"

namespace runnel::server::testing {

using runnel::testing::App;

class ServerTestBase : public ::testing::Test {
 protected:
  fs::Path Here(const std::string& name) const { return directory_.path() / name; }

  // A database in WAL mode with a table t(x) of `rows` rows.
  std::unique_ptr<App> MakeDatabase(const std::string& name, int rows = 10) {
    auto app = std::make_unique<App>(Here(name));
    app->Run("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
    for (int i = 0; i < rows; ++i) app->Run("INSERT INTO t VALUES (randomblob(500))");
    return app;
  }

  // `name`, with a replica in each of the folders.
  DatabaseSpec SpecOf(const std::string& name, const std::vector<std::string>& folders) const {
    DatabaseSpec spec;
    spec.capture.database = Here(name);
    spec.capture.state_folder = Here("." + name + "-litestream");
    for (const std::string& folder : folders) {
      ReplicaSpec replica{
          .settings = {.name = folder, .importance = replicate::Importance::kRequired},
          .folder = Here(folder)};
      spec.replicas.push_back(std::move(replica));
    }
    return spec;
  }

  World TheWorld() {
    return {.fs = fs_,
            .watcher = watcher_,
            .clock = clock_,
            .random = random_,
            .log = log_,
            .scheduler = scheduler_};
  }

  // Long enough for the slow sweep to find what nobody tells of, and for a cut and its upload.
  void LetTimePass(std::chrono::milliseconds time = std::chrono::seconds(20)) {
    scheduler_.Advance(time);
  }

  // A folder that cannot be made.
  void Block(const std::string& folder) {
    auto file = fs_.Open(Here(folder), fs::OpenMode::kCreate);
    ASSERT_OK(file);
  }
  void Unblock(const std::string& folder) { ASSERT_OK(fs_.Remove(Here(folder))); }

  // How many rows t has in what `folder` restores to; -1 if nothing can be restored.
  int RowsIn(const std::string& folder) {
    store::FileStore store(fs_, Here(folder), {}, clock_, random_);
    const store::ReplicaLayout layout(store::LayoutKind::kTree, "");
    restore::Restorer restorer(fs_, clock_, log_);
    const std::vector<restore::Destination> destinations = {
        {.name = folder, .source = {.store = &store, .layout = &layout}}};
    restore::ExecuteOptions options;
    options.output = Here("restored-" + std::to_string(++restored_));
    if (!restorer.Restore(destinations, restore::Target::Latest(), options)) return -1;
    App copy(options.output);
    EXPECT_EQ(copy.Get("PRAGMA integrity_check"), "ok");
    return std::stoi(copy.Get("SELECT count(*) FROM t"));
  }

  const runnel::testing::TempDir directory_;
  fs::PosixFileSystem fs_;
  runnel::testing::ManualClock clock_;
  runnel::testing::SeededRandom random_{5};
  runnel::testing::CapturingLogger log_;
  runnel::testing::ManualScheduler scheduler_{clock_};
  runnel::testing::ManualDirectoryWatcher watcher_;

 private:
  int restored_ = 0;
};

}  // namespace runnel::server::testing
