// Somebody deletes `-wal`, or `-wal` and `-shm`, of a database that an application and the daemon
// have open. Nothing worse may come of it than would without a daemon.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "cli/world.h"

namespace runnel::cli_testing {
namespace {

using ::testing::HasSubstr;

enum class Deleted : std::uint8_t { kWal, kWalAndIndex };

std::string NameOf(const ::testing::TestParamInfo<Deleted>& info) {
  return info.param == Deleted::kWal ? "Wal" : "WalAndShm";
}

// An application that opens its database anew after every error, and tries again what failed.
class RestartingApp {
 public:
  RestartingApp(Path database, int connections)
      : database_(std::move(database)), connections_(static_cast<std::size_t>(connections)) {
    thread_ = std::thread([this] { Run(); });
  }
  ~RestartingApp() { Stop(); }
  RestartingApp(const RestartingApp&) = delete;
  RestartingApp& operator=(const RestartingApp&) = delete;

  bool ComesTo(std::int64_t commits) const {
    return Eventually([&] { return commits_ >= commits; });
  }
  std::int64_t commits() const { return commits_; }

  void Stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }

 private:
  void Run() {
    for (std::size_t i = 0; !stopping_; i = (i + 1) % connections_.size()) {
      if (Commit(connections_[i])) ++commits_;
    }
    connections_.clear();
  }

  bool Commit(apps::Database& connection) {
    if (!connection.is_open()) {
      connection.Open(database_.string(), SQLITE_OPEN_READWRITE);
      connection.Execute("PRAGMA busy_timeout=1000; PRAGMA wal_autocheckpoint=50");
    }
    const bool committed =
        connection.Execute(
            "BEGIN IMMEDIATE; INSERT INTO t(y) VALUES(randomblob(2000)); "
            "UPDATE t SET y=randomblob(90) WHERE x=abs(random()) % 200; COMMIT") == SQLITE_OK;
    if (!committed) connection.Close();
    return committed;
  }

  const Path database_;
  std::vector<apps::Database> connections_;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::int64_t> commits_ = 0;
  std::thread thread_;
};

class DeletedWal : public WorldTest, public ::testing::WithParamInterface<Deleted> {
 protected:
  void Delete() const {
    remove(Path(database_.string() + "-wal"));
    if (GetParam() == Deleted::kWalAndIndex) remove(Path(database_.string() + "-shm"));
  }

  std::unique_ptr<Process> StartCapturing() {
    MakeDatabase(database_);
    auto daemon = StartDaemon();
    EXPECT_TRUE(ReplicaComesToHave(replica_, "SELECT count(*) FROM t", "200")) << daemon->Out();
    return daemon;
  }

  void ExpectSaysSo(const Process& daemon) {
    EXPECT_TRUE(daemon.Prints(database_.string() + "-wal")) << daemon.Out();
    EXPECT_THAT(daemon.Out(), HasSubstr("level=ERROR"));
  }

  void ExpectReplicates(Process& daemon) {
    StopDaemon(daemon);
    ExpectRestoresTo(replica_, database_);
    ExpectVerifies(replica_);
  }

  void RunRounds(int rounds, std::uint32_t seed);
};

constexpr const char* kContent =
    "SELECT count(*) || '/' || total(length(y)) || '/' || max(x) FROM t";

TEST_P(DeletedWal, IsLivedThrough) {
  auto daemon = StartCapturing();
  {
    App(database_).Run("INSERT INTO t(y) VALUES('before')");
  }
  Delete();
  ExpectSaysSo(*daemon);
  {
    RestartingApp app(database_, 1);
    EXPECT_TRUE(app.ComesTo(50)) << daemon->Out();
  }
  const std::string content = App(database_).Get(kContent);
  EXPECT_TRUE(ReplicaComesToHave(replica_, kContent, content)) << daemon->Out();
  ExpectReplicates(*daemon);
}

// It sees no error: its files are whole. Its last close copies all of them into the database, if
// nobody else has it open.
TEST_P(DeletedWal, AnApplicationThatGoesOnLosesNothing) {
  auto daemon = StartCapturing();
  std::optional<App> app(database_);
  for (int i = 0; i < 10; ++i) app->Run("INSERT INTO t(y) VALUES('before')");
  // Then the daemon opens nothing in the instant of the deletion, which would make the file.
  EXPECT_TRUE(ReplicaComesToHave(replica_, "SELECT count(*) FROM t", "210")) << daemon->Out();
  Delete();
  ExpectSaysSo(*daemon);
  for (int i = 0; i < 10; ++i) app->Run("INSERT INTO t(y) VALUES('after')");
  EXPECT_EQ(app->Get("SELECT count(*) FROM t"), "220");
  EXPECT_FALSE(exists(Path(database_.string() + "-wal"))) << "made by the daemon";
  app.reset();
  EXPECT_EQ(App(database_).Get("SELECT count(*) FROM t"), "220");
  EXPECT_TRUE(ReplicaComesToHave(replica_, "SELECT count(*) FROM t", "220")) << daemon->Out();
  ExpectReplicates(*daemon);
}

// A daemon that starts later does not know of the deletion.
TEST_P(DeletedWal, IsNoticedAtTheStart) {
  MakeDatabase(database_);
  std::optional<App> app(database_);
  app->Run("INSERT INTO t(y) VALUES('before')");
  Delete();
  auto daemon = StartDaemon();
  ExpectSaysSo(*daemon);
  app->Run("INSERT INTO t(y) VALUES('after')");
  app.reset();
  EXPECT_TRUE(ReplicaComesToHave(replica_, "SELECT count(*) FROM t", "202")) << daemon->Out();
  ExpectReplicates(*daemon);
}

// At a random moment under an application that never rests.
void DeletedWal::RunRounds(int rounds, std::uint32_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::minstd_rand engine(seed);
  const auto some = [&] { return std::uniform_int_distribution<std::int64_t>(1, 300)(engine); };
  auto daemon = StartCapturing();
  for (int round = 0; round < rounds; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    RestartingApp app(database_, 1);
    ASSERT_TRUE(app.ComesTo(some())) << daemon->Out();
    Delete();
    ASSERT_TRUE(app.ComesTo(app.commits() + some())) << daemon->Out();
    app.Stop();
    ASSERT_EQ(App(database_).Get("PRAGMA integrity_check"), "ok") << daemon->Out();
    const std::string content = App(database_).Get(kContent);
    ASSERT_TRUE(ReplicaComesToHave(replica_, kContent, content)) << daemon->Out();
  }
  ExpectReplicates(*daemon);
}

TEST_P(DeletedWal, MayHappenAtAnyMoment) { RunRounds(2, 1); }

INSTANTIATE_TEST_SUITE_P(Under, DeletedWal, ::testing::Values(Deleted::kWal, Deleted::kWalAndIndex),
                         NameOf);

using DeletedWalSlowTest = DeletedWal;
TEST_P(DeletedWalSlowTest, MayHappenAtAnyMoment) { RunRounds(10, 2); }

INSTANTIATE_TEST_SUITE_P(Under, DeletedWalSlowTest,
                         ::testing::Values(Deleted::kWal, Deleted::kWalAndIndex), NameOf);

}  // namespace
}  // namespace runnel::cli_testing
