#include "server/daemon.h"

#include <gmock/gmock.h>

#include "server/testing.h"

namespace runnel::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using testing::App;
using ::testing::HasSubstr;

class DaemonTest : public testing::ServerTestBase {
 protected:
  // With no time for the final sync: it succeeds where all is done, and says what is wrong.
  DaemonTest() { Start(); }

  void Start() {
    daemon_.reset();
    daemon_ = std::make_unique<Daemon>(
        DaemonOptions{.allowed_file_systems = {}, .final_sync_timeout = milliseconds(0)},
        TheWorld());
  }

  std::unique_ptr<Daemon> daemon_;
};

TEST_F(DaemonTest, KeepsCopiesOfEveryDatabaseUntilItIsStopped) {
  const auto first = MakeDatabase("first.db");
  const auto second = MakeDatabase("second.db", 20);
  ASSERT_OK(daemon_->SelfTest());
  ASSERT_OK(daemon_->Add(SpecOf("first.db", {"one"})));
  ASSERT_OK(daemon_->Add(SpecOf("second.db", {"two", "three"})));
  LetTimePass();
  first->Run("INSERT INTO t VALUES (1)");
  LetTimePass();
  EXPECT_OK(daemon_->Stop());
  EXPECT_EQ(RowsIn("one"), 11);
  EXPECT_EQ(RowsIn("two"), 20);
  EXPECT_EQ(RowsIn("three"), 20);
  EXPECT_EQ(scheduler_.job_count(), 0U);
}

TEST_F(DaemonTest, SyncAllOfWhatIsEverywhereReturnsAtOnce) {
  const auto app = MakeDatabase("app.db");
  ASSERT_OK(daemon_->Add(SpecOf("app.db", {"one"})));
  LetTimePass();
  EXPECT_OK(daemon_->SyncAll());
  EXPECT_OK(daemon_->Abandon());
}

TEST_F(DaemonTest, AReplicaOutOfReachKeepsNobodyFromStartingAndIsNamedAtTheEnd) {
  const auto app = MakeDatabase("app.db");
  const auto other = MakeDatabase("other.db");
  Block("one");
  ASSERT_OK(daemon_->Add(SpecOf("app.db", {"one"})));
  ASSERT_OK(daemon_->Add(SpecOf("other.db", {"two"})));
  LetTimePass();
  EXPECT_TRUE(log_.Contains(Here("one").string(), LogLevel::kWarn));
  const auto stopped = daemon_->Stop();
  ASSERT_FALSE(stopped);
  EXPECT_THAT(stopped.error().message(),
              AllOf(HasSubstr(Here("app.db").string()), HasSubstr("replica one")));
  EXPECT_EQ(RowsIn("two"), 10) << "the other database is not kept waiting";

  Unblock("one");
  Start();
  ASSERT_OK(daemon_->Add(SpecOf("app.db", {"one"})));
  LetTimePass();
  EXPECT_OK(daemon_->Stop());
  EXPECT_EQ(RowsIn("one"), 10);
}

TEST_F(DaemonTest, AReplicaThatComesBackIsCaughtUpWithoutARestart) {
  const auto app = MakeDatabase("app.db");
  Block("one");
  ASSERT_OK(daemon_->Add(SpecOf("app.db", {"one", "two"})));
  LetTimePass(std::chrono::minutes(2));  // what the one has cannot be known, and is waited for
  app->Run("INSERT INTO t VALUES (1)");
  LetTimePass();
  EXPECT_EQ(RowsIn("two"), 11);
  Unblock("one");
  LetTimePass(std::chrono::minutes(2));
  EXPECT_OK(daemon_->Stop());
  EXPECT_EQ(RowsIn("one"), 11);
}

TEST_F(DaemonTest, ABadDatabaseAmongGoodOnesHarmsNone) {
  const auto good = MakeDatabase("good.db");
  auto file = fs_.Open(Here("bad.db"), fs::OpenMode::kCreate);
  ASSERT_OK(file);
  ASSERT_OK((*file)->WriteAt(0, Bytes(4096, std::byte{'x'})));
  ASSERT_OK(daemon_->Add(SpecOf("bad.db", {"one"})));
  ASSERT_OK(daemon_->Add(SpecOf("good.db", {"two"})));
  LetTimePass();
  good->Run("INSERT INTO t VALUES (1)");
  LetTimePass();
  for (const auto& outcome : {daemon_->SyncAll(), daemon_->Stop()}) {
    ASSERT_FALSE(outcome);
    EXPECT_THAT(outcome.error().message(),
                AllOf(HasSubstr(Here("bad.db").string()), HasSubstr("not an SQLite database")));
  }
  EXPECT_EQ(RowsIn("two"), 11);
  EXPECT_EQ(RowsIn("one"), -1);
}

TEST_F(DaemonTest, OnePathTwiceIsRefusedUnderAnyName) {
  const auto app = MakeDatabase("app.db");
  std::filesystem::create_symlink(Here("app.db"), Here("link.db"));
  std::filesystem::create_directory(Here("folder"));
  ASSERT_OK(daemon_->Add(SpecOf("app.db", {"one"})));
  for (const std::string name : {"app.db", "link.db", "folder/../app.db"}) {
    SCOPED_TRACE(name);
    DatabaseSpec spec = SpecOf("app.db", {"two"});
    spec.capture.database = Here(name);
    spec.capture.state_folder = Here("another-state");
    const auto added = daemon_->Add(std::move(spec));
    ASSERT_FAILS(Errc::kAlreadyExists, added);
    EXPECT_EQ(added.error().message(), Here("app.db").string() + " is configured twice");
  }
  LetTimePass();
  EXPECT_OK(daemon_->Stop());
  EXPECT_EQ(RowsIn("one"), 10);
}

TEST_F(DaemonTest, TheStateOfAnotherDaemonIsRefused) {
  const auto app = MakeDatabase("app.db");
  ASSERT_OK(daemon_->Add(SpecOf("app.db", {"one"})));
  runnel::testing::ManualDirectoryWatcher watcher;
  Daemon second({}, {.fs = fs_,
                     .watcher = watcher,
                     .clock = clock_,
                     .random = random_,
                     .log = log_,
                     .scheduler = scheduler_});
  const auto added = second.Add(SpecOf("app.db", {"two"}));
  ASSERT_FAILS(Errc::kBusy, added);
  EXPECT_THAT(added.error().message(), AllOf(HasSubstr(Here(".app.db-litestream").string()),
                                             HasSubstr("another Runnel daemon")));
  LetTimePass();
  EXPECT_OK(daemon_->Stop());
  EXPECT_EQ(RowsIn("one"), 10);
}

TEST_F(DaemonTest, ADatabaseThatDoesNotExistYetIsWaitedForAndFound) {
  ASSERT_OK(daemon_->Add(SpecOf("later.db", {"one"})));
  LetTimePass();
  const auto missing = daemon_->SyncAll();
  ASSERT_FAILS(Errc::kNotFound, missing);
  EXPECT_THAT(missing.error().message(), HasSubstr(Here("later.db").string()));
  const auto app = MakeDatabase("later.db");
  LetTimePass();
  EXPECT_OK(daemon_->Stop());
  EXPECT_EQ(RowsIn("one"), 10);
}

TEST_F(DaemonTest, ADatabaseThatNeverExistedIsNoErrorAtTheEnd) {
  ASSERT_OK(daemon_->Add(SpecOf("never.db", {"one"})));
  LetTimePass();
  EXPECT_OK(daemon_->Stop());
}

TEST_F(DaemonTest, AFileSystemThatLosesCommitsInSilenceIsRefusedWithTheCure) {
  DatabaseSpec spec = SpecOf("app.db", {"one"});
  spec.capture.database = "/proc/app.db";
  const auto added = daemon_->Add(std::move(spec));
  ASSERT_FAILS(Errc::kUnsupported, added);
  EXPECT_THAT(added.error().message(),
              AllOf(HasSubstr("/proc/app.db"), HasSubstr("allow-filesystem: [0x9fa0]")));
}

// Wherever a daemon is cut off, the next one brings everything there is.
TEST_F(DaemonTest, AbandonedInTheMiddleOfWorkItIsMadeGoodByTheNextOne) {
  const auto app = MakeDatabase("app.db");
  int rows = 10;
  int abandoned_with_work = 0;
  for (int steps = 0; steps < 24; ++steps) {
    SCOPED_TRACE(steps);
    Start();
    ASSERT_OK(daemon_->Add(SpecOf("app.db", {"one"})));
    for (int i = 0; i < steps; ++i) {
      if (i % 7 == 3) {
        app->Run("INSERT INTO t VALUES (randomblob(3000))");
        ++rows;
      }
      if (!scheduler_.RunOne()) clock_.AdvanceTo(*scheduler_.next_deadline());
    }
    if (scheduler_.next_deadline() <= clock_.MonotonicNow()) ++abandoned_with_work;
    ASSERT_OK(daemon_->Abandon());
    EXPECT_EQ(scheduler_.job_count(), 0U);
    if (steps % 8 != 7) continue;
    Start();
    ASSERT_OK(daemon_->Add(SpecOf("app.db", {"one"})));
    LetTimePass(std::chrono::minutes(2));
    ASSERT_OK(daemon_->Stop());
    ASSERT_EQ(RowsIn("one"), rows);
  }
  EXPECT_GT(abandoned_with_work, 3);
}

// Of what is told by the system tests/cli has the proof.
TEST_F(DaemonTest, ADirectoryThatCannotBeLookedThroughIsTriedAgain) {
  bool is_readable = false;
  daemon_->Follow({"/dbs", [&](sqlite::OpenRegistry&) -> Result<DirectoryContent> {
                     if (!is_readable) return Fail(Errc::kUnavailable, "not yet");
                     return DirectoryContent{.folders = {directory_.path()},
                                             .databases = {{.path = Here("app.db"),
                                                            .make = [&]() -> Result<DatabaseSpec> {
                                                              return SpecOf("app.db", {"one"});
                                                            }}}};
                   }});
  const auto app = MakeDatabase("app.db", 3);
  LetTimePass();
  EXPECT_TRUE(log_.Contains("cannot be looked through", LogLevel::kWarn));
  EXPECT_EQ(RowsIn("one"), -1);
  is_readable = true;
  LetTimePass(seconds(40));
  EXPECT_EQ(RowsIn("one"), 3);
  EXPECT_TRUE(watcher_.IsWatched(directory_.path()));
  ASSERT_OK(daemon_->Stop());
  EXPECT_FALSE(watcher_.IsWatched(directory_.path()));
}

TEST_F(DaemonTest, ADatabaseIsRemovedOnceItsReplicasHaveAllOfIt) {
  const auto app = MakeDatabase("app.db");
  Block("one");
  ASSERT_OK(daemon_->Add(SpecOf("app.db", {"one"})));
  LetTimePass(seconds(70));
  EXPECT_FAILS(Errc::kBusy, daemon_->Remove(Here("app.db")));
  Unblock("one");
  LetTimePass(seconds(600));
  EXPECT_EQ(RowsIn("one"), 10);
  EXPECT_OK(daemon_->Remove(Here("app.db")));
  EXPECT_OK(daemon_->Add(SpecOf("app.db", {"one"}))) << "and may come back";
}

TEST_F(DaemonTest, NoMoreDatabasesThanTheLimitOfOpenFilesAllows) {
  daemon_.reset();  // two would share a watcher
  daemon_ = std::make_unique<Daemon>(
      DaemonOptions{
          .allowed_file_systems = {}, .final_sync_timeout = milliseconds(0), .databases_max = 1},
      TheWorld());
  ASSERT_OK(daemon_->Add(SpecOf("first.db", {"one"})));
  EXPECT_FAILS(Errc::kUnavailable, daemon_->Add(SpecOf("second.db", {"two"})));
}

}  // namespace
}  // namespace runnel::server
