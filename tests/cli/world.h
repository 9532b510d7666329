// A machine of a user: a folder with a database in it, an application on the system's SQLite, a
// folder for the replica.

#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "apps/database.h"
#include "cli/process.h"
#include "testing/temp_dir.h"

namespace runnel::cli_testing {

using Path = std::filesystem::path;

// An application's connection: any error fails the test, unless asked for by Try().
class App {
 public:
  explicit App(const Path& path);

  void Run(const std::string& sql);
  int Try(const std::string& sql);  // SQLite's result code
  std::string Get(const std::string& sql);
  apps::Database& database() { return database_; }

 private:
  apps::Database database_;
};

class WorldTest : public ::testing::Test {
 protected:
  // A database in WAL mode with a table t(x, y) of some pages.
  void MakeDatabase(const Path& path);

  // `runnel replicate DB URL`, with what is in replica_config.
  std::unique_ptr<Process> StartDaemon(std::vector<std::string> more_arguments = {});
  std::unique_ptr<Process> StartDaemon(const Path& database, const Path& replica);

  // SIGTERM; a test failure unless it ends well.
  static void StopDaemon(Process& daemon);

  Outcome Restore(const Path& replica, const Path& output, std::vector<std::string> flags = {});

  // The newest state in `replica` is, byte for byte, the database: it is checkpointed for this, so
  // no daemon may run. Its integrity is checked too.
  void ExpectRestoresTo(const Path& replica, const Path& database);

  // `sql` gives `value` on the newest state in the replica, before long.
  bool ReplicaComesToHave(const Path& replica, const std::string& sql, const std::string& value,
                          milliseconds limit = kPatience);

  static void ExpectVerifies(const Path& replica);

  static std::string Url(const Path& path) { return "file://" + path.string(); }
  // Litestream's and ours.
  static Path StateOf(const Path& database);

  const testing::TempDir directory_;
  const Path database_ = directory_.path() / "app.db";
  const Path replica_ = directory_.path() / "replica";

 private:
  int restored_ = 0;
};

}  // namespace runnel::cli_testing
