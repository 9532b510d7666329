#include "cli/world.h"

#include <csignal>
#include <utility>

namespace runnel::cli_testing {

App::App(const Path& path) {
  EXPECT_EQ(database_.Open(path.string(), SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE), SQLITE_OK)
      << path;
}

void App::Run(const std::string& sql) {
  EXPECT_EQ(Try(sql), SQLITE_OK) << sql << ": " << database_.Message();
}

int App::Try(const std::string& sql) { return database_.Execute(sql); }

std::string App::Get(const std::string& sql) { return database_.Query(sql); }

void WorldTest::MakeDatabase(const Path& path) {
  App app(path);
  app.Run("PRAGMA journal_mode=WAL");
  app.Run("CREATE TABLE t(x INTEGER PRIMARY KEY, y)");
  app.Run(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) "
      "INSERT INTO t SELECT i, randomblob(100) FROM n");
}

std::unique_ptr<Process> WorldTest::StartDaemon(std::vector<std::string> more_arguments) {
  std::vector<std::string> arguments = {"replicate"};
  arguments.insert(arguments.end(), more_arguments.begin(), more_arguments.end());
  arguments.push_back(database_.string());
  arguments.push_back(Url(replica_));
  return std::make_unique<Process>(std::move(arguments));
}

std::unique_ptr<Process> WorldTest::StartDaemon(const Path& database, const Path& replica) {
  return std::make_unique<Process>(
      std::vector<std::string>{"replicate", database.string(), Url(replica)});
}

void WorldTest::StopDaemon(Process& daemon) {
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.Wait(), 0) << daemon.Out() << daemon.Err();
}

Outcome WorldTest::Restore(const Path& replica, const Path& output,
                           std::vector<std::string> flags) {
  std::vector<std::string> arguments = {"restore"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  arguments.insert(arguments.end(), {"-o", output.string(), Url(replica)});
  return RunRunnel(std::move(arguments));
}

void WorldTest::ExpectRestoresTo(const Path& replica, const Path& database) {
  const Path output = directory_.path() / ("restored-" + std::to_string(restored_++));
  const Outcome restored = Restore(replica, output, {"-integrity-check", "full"});
  ASSERT_EQ(restored.exit_code, 0) << restored.err;
  {
    App app(database);
    app.Run("PRAGMA busy_timeout=10000");
    ASSERT_EQ(app.Get("PRAGMA wal_checkpoint(TRUNCATE)"), "0");
  }
  EXPECT_TRUE(ReadAll(output) == ReadAll(database)) << "the copy is another database";
}

bool WorldTest::ReplicaComesToHave(const Path& replica, const std::string& sql,
                                   const std::string& value, milliseconds limit) {
  return Eventually(
      [&] {
        const Path output = directory_.path() / ("restored-" + std::to_string(restored_++));
        if (Restore(replica, output).exit_code != 0) return false;
        apps::Database copy;
        EXPECT_EQ(copy.Open(output.string(), SQLITE_OPEN_READWRITE), SQLITE_OK);
        return copy.Query(sql) == value;
      },
      limit);
}

void WorldTest::ExpectVerifies(const Path& replica) {
  const Outcome verified = RunRunnel({"verify", Url(replica)});
  EXPECT_EQ(verified.exit_code, 0) << verified.out << verified.err;
}

Path WorldTest::StateOf(const Path& database) {
  return database.parent_path() / ("." + database.filename().string() + "-litestream");
}

}  // namespace runnel::cli_testing
