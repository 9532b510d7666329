// A daemon that runs, is told to stop, is killed, meets another one.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "cli/world.h"

namespace runnel::cli_testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class DaemonTest : public WorldTest {
 protected:
  DaemonTest() { MakeDatabase(database_); }
};

TEST_F(DaemonTest, WhatIsCommittedJustBeforeSigtermIsInTheReplica) {
  auto daemon = StartDaemon();
  ASSERT_TRUE(daemon->Prints("initialized db"));
  for (int i = 0; i < 20; ++i) App(database_).Run("INSERT INTO t(y) VALUES('last words')");
  StopDaemon(*daemon);
  EXPECT_THAT(daemon->Out(), HasSubstr("runnel shut down"));
  ExpectRestoresTo(replica_, database_);
  ExpectVerifies(replica_);
}

TEST_F(DaemonTest, ASignalBeforeAnythingIsReplicatedStillBringsItAll) {
  for (int i = 0; i < 5; ++i) {
    App(database_).Run("INSERT INTO t(y) VALUES('x')");
    auto daemon = StartDaemon();
    ASSERT_TRUE(daemon->Prints("replicating to"));
    StopDaemon(*daemon);
    ExpectRestoresTo(replica_, database_);
  }
}

TEST_F(DaemonTest, TheApplicationMayStillBeConnectedAtTheEnd) {
  App app(database_);
  auto daemon = StartDaemon();
  ASSERT_TRUE(daemon->Prints("initialized db"));
  app.Run("BEGIN; INSERT INTO t(y) VALUES('open')");
  StopDaemon(*daemon);
  app.Run("COMMIT");
  EXPECT_TRUE(ReplicaComesToHave(replica_, "SELECT count(*) FROM t WHERE y='open'", "0"));
}

TEST_F(DaemonTest, ASecondSignalAbortsTheFinalSync) {
  WriteAll(replica_, "a file where the folder should be");
  auto daemon = StartDaemon();
  ASSERT_TRUE(daemon->Prints("upload failed"));
  App(database_).Run("INSERT INTO t(y) VALUES('staged')");
  daemon->Signal(SIGTERM);
  ASSERT_TRUE(daemon->Prints("shutting down"));
  EXPECT_EQ(daemon->Wait(milliseconds(300)), std::nullopt) << "it waits for the replica";
  daemon->Signal(SIGTERM);
  EXPECT_EQ(daemon->Wait(), 1);
  EXPECT_THAT(daemon->Out(), HasSubstr("without the final sync"));

  remove(replica_);
  daemon = StartDaemon();
  ASSERT_TRUE(daemon->Prints("initialized db"));
  StopDaemon(*daemon);
  ExpectRestoresTo(replica_, database_);
}

TEST_F(DaemonTest, AFinalSyncThatFailsIsNoSuccess) {
  WriteAll(replica_, "a file where the folder should be");
  const Path config = directory_.path() / "runnel.yml";
  WriteAll(config, "shutdown-sync-timeout: 300ms\ndbs: [{path: " + database_.string() +
                       ", replica: {path: " + replica_.string() + "}}]\n");
  Process daemon({"replicate", "-config", config.string()});
  ASSERT_TRUE(daemon.Prints("upload failed"));
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.Wait(), 1);
  EXPECT_THAT(daemon.Err(), AllOf(HasSubstr("Error: "), HasSubstr(replica_.string()),
                                  HasSubstr(database_.string())));
}

TEST_F(DaemonTest, ASecondDaemonOnTheDatabaseIsRefused) {
  auto first = StartDaemon();
  ASSERT_TRUE(first->Prints("initialized db"));
  const Outcome second =
      RunRunnel({"replicate", database_.string(), Url(directory_.path() / "other")});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err,
              AllOf(HasSubstr(StateOf(database_).string()), HasSubstr("another Runnel daemon")));
  App(database_).Run("INSERT INTO t(y) VALUES('unharmed')");
  StopDaemon(*first);
  ExpectRestoresTo(replica_, database_);
}

TEST_F(DaemonTest, ASymbolicLinkIsTheSameDatabase) {
  const Path link = directory_.path() / "link.db";
  create_symlink(database_, link);
  auto first = StartDaemon();
  ASSERT_TRUE(first->Prints("initialized db"));
  const Outcome second = RunRunnel({"replicate", link.string(), Url(directory_.path() / "other")});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, HasSubstr("another Runnel daemon"));
  StopDaemon(*first);

  auto linked = StartDaemon(link, replica_);
  ASSERT_TRUE(linked->Prints("initialized db"));
  App(link).Run("INSERT INTO t(y) VALUES('through the link')");
  StopDaemon(*linked);
  ExpectRestoresTo(replica_, database_);
}

TEST_F(DaemonTest, OneDatabaseTwiceInAConfigurationIsRefused) {
  const Path config = directory_.path() / "runnel.yml";
  const std::string entry =
      "  - {path: " + database_.string() + ", replica: {path: " + replica_.string() + "}}\n";
  WriteAll(config, "dbs:\n" + entry + entry);
  const Outcome outcome = RunRunnel({"replicate", "-once", "-config", config.string()});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr(database_.string()));
}

TEST_F(DaemonTest, TwoDatabasesInOneReplicaPathAreRefused) {
  const Path other = directory_.path() / "other.db";
  MakeDatabase(other);
  const Path config = directory_.path() / "runnel.yml";
  WriteAll(config, "dbs:\n  - {path: " + database_.string() + ", replica: {path: " +
                       replica_.string() + "}}\n  - {path: " + other.string() +
                       ", replica: {path: " + replica_.string() + "/}}\n");
  const Outcome outcome = RunRunnel({"replicate", "-once", "-config", config.string()});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr(replica_.string()));
}

TEST_F(DaemonTest, OnceWithoutADatabaseFailsAtOnce) {
  for (const Path& missing :
       {directory_.path() / "missing.db", directory_.path() / "no" / "folder" / "missing.db"}) {
    const Outcome outcome = RunRunnel({"replicate", "-once", missing.string(), Url(replica_)});
    EXPECT_EQ(outcome.exit_code, 1) << missing;
    EXPECT_THAT(outcome.err, HasSubstr(missing.string()));
  }
}

TEST_F(DaemonTest, OnceBringsWhatIsNewAndOnlyThat) {
  for (int i = 1; i <= 3; ++i) {
    App(database_).Run("INSERT INTO t(y) VALUES('x')");
    const Outcome once = RunRunnel({"replicate", "-once", database_.string(), Url(replica_)});
    ASSERT_EQ(once.exit_code, 0) << once.out << once.err;
    ExpectRestoresTo(replica_, database_);
  }
  const auto objects = [&] {
    return std::distance(std::filesystem::directory_iterator(replica_ / "ltx" / "0"), {});
  };
  EXPECT_EQ(objects(), 3);
  ASSERT_EQ(RunRunnel({"replicate", "-once", database_.string(), Url(replica_)}).exit_code, 0);
  EXPECT_EQ(objects(), 3);
}

TEST_F(DaemonTest, AKilledDaemonGoesOnWhereItWas) {
  for (int i = 0; i < 3; ++i) {
    auto daemon = StartDaemon();
    ASSERT_TRUE(daemon->Prints("initialized db"));
    const std::string value = "round " + std::to_string(i);
    App(database_).Run("INSERT INTO t(y) VALUES('" + value + "')");
    EXPECT_TRUE(
        ReplicaComesToHave(replica_, "SELECT count(*) FROM t WHERE y='" + value + "'", "1"));
    App(database_).Run("INSERT INTO t(y) VALUES('perhaps captured')");
    daemon->Signal(SIGKILL);
    EXPECT_EQ(daemon->Wait(), -SIGKILL);
    App(database_).Run("INSERT INTO t(y) VALUES('while nobody looked')");
  }
  auto daemon = StartDaemon();
  ASSERT_TRUE(daemon->Prints("initialized db"));
  StopDaemon(*daemon);
  ExpectRestoresTo(replica_, database_);
  ExpectVerifies(replica_);
}

TEST_F(DaemonTest, TheLogMayBeAPipeThatNobodyReads) {
  auto daemon = StartDaemon();
  ASSERT_TRUE(daemon->Prints("initialized db"));
  daemon->Signal(SIGPIPE);
  App(database_).Run("INSERT INTO t(y) VALUES('x')");
  StopDaemon(*daemon);
  ExpectRestoresTo(replica_, database_);
}

TEST_F(DaemonTest, TooFewDescriptorsAreRefusedWithTheNumber) {
  Process daemon({"replicate", database_.string(), Url(replica_)}, {.descriptors_max = 40});
  EXPECT_EQ(daemon.Wait(), 1);
  EXPECT_THAT(daemon.Err(), AllOf(HasSubstr("LimitNOFILE="), HasSubstr("40")));
}

TEST_F(DaemonTest, ADatabaseInRollbackModeIsSwitchedOnceAndThatIsLogged) {
  App(database_).Run("PRAGMA journal_mode=DELETE");
  auto daemon = StartDaemon();
  ASSERT_TRUE(daemon->Prints("switched the database to WAL mode"));
  App(database_).Run("INSERT INTO t(y) VALUES('x')");
  StopDaemon(*daemon);
  EXPECT_EQ(App(database_).Get("PRAGMA journal_mode"), "wal");
  ExpectRestoresTo(replica_, database_);
}

TEST_F(DaemonTest, ADatabaseInRollbackModeIsRefusedWhereThatIsWanted) {
  App(database_).Run("PRAGMA journal_mode=DELETE");
  const Path config = directory_.path() / "runnel.yml";
  WriteAll(config, "journal-mode: require\ndbs: [{path: " + database_.string() +
                       ", replica: {path: " + replica_.string() + "}}]\n");
  Process daemon({"replicate", "-config", config.string()});
  ASSERT_TRUE(daemon.Prints("PRAGMA journal_mode=WAL"));
  EXPECT_EQ(App(database_).Get("PRAGMA journal_mode"), "delete");
  App(database_).Run("PRAGMA journal_mode=WAL; INSERT INTO t(y) VALUES('x')");
  ASSERT_TRUE(daemon.Prints("initialized db"));
  StopDaemon(daemon);
  ExpectRestoresTo(replica_, database_);
}

TEST_F(DaemonTest, DatabasesOfAWatchedDirectoryComeAndGo) {
  const Path folder = directory_.path() / "tenants";
  const Path config = directory_.path() / "runnel.yml";
  std::filesystem::create_directories(folder);
  WriteAll(config, "dbs: [{dir: " + folder.string() +
                       ", pattern: '*.db', recursive: true, watch: true, replica: {path: " +
                       replica_.string() + "}}]\n");
  Process daemon({"replicate", "-config", config.string()});
  ASSERT_TRUE(daemon.Prints("databases=0"));
  MakeDatabase(folder / "first.db");
  ASSERT_TRUE(daemon.Prints("a database appeared"));
  EXPECT_TRUE(
      ReplicaComesToHave(replica_ / "first.db", "SELECT count(*) FROM t WHERE y='new'", "0"));
  App(folder / "first.db").Run("INSERT INTO t(y) VALUES('new')");
  EXPECT_TRUE(
      ReplicaComesToHave(replica_ / "first.db", "SELECT count(*) FROM t WHERE y='new'", "1"));

  std::filesystem::create_directories(folder / "below");
  MakeDatabase(folder / "below" / "second.db");
  EXPECT_TRUE(ReplicaComesToHave(replica_ / "below/second.db",
                                 "SELECT count(*) FROM t WHERE y='new'", "0"));

  for (const char* suffix : {"", "-wal", "-shm"}) remove(Path(folder / "first.db") += suffix);
  ASSERT_TRUE(daemon.Prints("a database was removed"));
  EXPECT_TRUE(
      ReplicaComesToHave(replica_ / "first.db", "SELECT count(*) FROM t WHERE y='new'", "1"));
  MakeDatabase(folder / "first.db");
  App(folder / "first.db").Run("INSERT INTO t(y) VALUES('again')");
  EXPECT_TRUE(
      ReplicaComesToHave(replica_ / "first.db", "SELECT count(*) FROM t WHERE y='again'", "1"));
  StopDaemon(daemon);
  ExpectRestoresTo(replica_ / "first.db", folder / "first.db");
  ExpectRestoresTo(replica_ / "below/second.db", folder / "below" / "second.db");
}

}  // namespace
}  // namespace runnel::cli_testing
