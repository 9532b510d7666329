// The applications that other tests rely on: what app_check lets pass, and that it would not let
// pass a wrong copy.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "integration/program.h"
#include "testing/live_database.h"
#include "testing/temp_dir.h"

namespace runnel::integration {
namespace {

using ::testing::HasSubstr;
using Arguments = std::vector<std::string>;

class AppsTest : public ::testing::Test {
 protected:
  Arguments Writer(const std::string& name, Arguments more) {
    Arguments all{RUNNEL_APP_WRITER, (directory_.path() / name).native(), "--synchronous", "OFF"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  void Write(const std::string& name, const Arguments& more) {
    Program writer(Writer(name, more), Program::StandardError::kShown);
    EXPECT_EQ(writer.Wait(), 0);
  }
  int Check(const std::string& name, Arguments more = {}) {
    more.insert(more.begin(), {RUNNEL_APP_CHECK, (directory_.path() / name).native()});
    Program check(more);
    const int status = check.Wait();
    output_ = check.output();
    return status;
  }
  int CheckAfter(const std::string& sql) {
    Write("app.db", {"--transactions", "20"});
    EXPECT_EQ(Check("app.db"), 0);
    testing::App(directory_.path() / "app.db").Run(sql);
    return Check("app.db");
  }

  const testing::TempDir directory_;
  const std::string acknowledged_ = (directory_.path() / "acknowledged").native();
  std::string output_;
};

TEST_F(AppsTest, AreOnTheSystemsSqlite) {
  for (const char* program : {RUNNEL_APP_WRITER, RUNNEL_APP_CHECK}) {
    Program version({program, "--version"});
    EXPECT_EQ(version.Wait(), 0);
    EXPECT_THAT(version.output(), ::testing::StartsWith("3."));
    EXPECT_NE(version.output(), std::string(sqlite3_libversion()) + "\n");
  }
}

TEST_F(AppsTest, OneSeedIsOneContent) {
  for (const char* name : {"a.db", "b.db"}) {
    Write(name, {"--seed", "7", "--transactions", "60", "--chaos", "rollback,savepoint,spill"});
  }
  Write("c.db", {"--seed", "8", "--transactions", "60"});
  EXPECT_EQ(Check("a.db"), 0);
  const std::string a = output_;
  EXPECT_EQ(Check("b.db"), 0);
  EXPECT_EQ(output_, a);
  EXPECT_EQ(Check("c.db"), 0);
  EXPECT_NE(output_, a);
}

TEST_F(AppsTest, TwoWildWritersOfWhichOneIsKilledLeaveAProvableDatabase) {
  const Arguments options{"--chaos", "all",     "--acknowledge", acknowledged_, "--busy-timeout",
                          "200",     "--ready", "--page-size",   "1024",        "--auto-vacuum",
                          "2"};
  Arguments endless = Writer("app.db", options);
  Program killed(endless, Program::StandardError::kShown);
  ASSERT_TRUE(killed.WaitFor("ready"));
  Arguments other = options;
  other.insert(other.end(), {"--transactions", "150", "--writer", "2"});
  Write("app.db", other);
  killed.Kill();
  EXPECT_EQ(killed.Wait(), -SIGKILL);
  EXPECT_EQ(Check("app.db", {"--acknowledged", acknowledged_, "--at-least", "100"}), 0) << output_;
}

TEST_F(AppsTest, CheckFindsAChangedRow) {
  EXPECT_EQ(CheckAfter("UPDATE t1 SET k=k+1 WHERE id=(SELECT min(id) FROM t1)"), 1);
}

TEST_F(AppsTest, CheckFindsALostRow) {
  EXPECT_EQ(CheckAfter("DELETE FROM t2 WHERE id=(SELECT min(id) FROM t2)"), 1);
}

TEST_F(AppsTest, CheckFindsALostCommit) {
  EXPECT_EQ(CheckAfter("DELETE FROM ledger WHERE seq=(SELECT max(seq) FROM ledger)"), 1);
  std::filesystem::remove(directory_.path() / "app.db");
  EXPECT_EQ(CheckAfter("DELETE FROM ledger WHERE seq=3"), 1);
}

TEST_F(AppsTest, CheckFindsACommitThatIsNotTheAcknowledgedOne) {
  Write("app.db", {"--transactions", "20", "--acknowledge", acknowledged_});
  EXPECT_EQ(Check("app.db", {"--acknowledged", acknowledged_}), 0);
  std::ofstream(acknowledged_, std::ios::app) << "5 0123456789abcdef\n";
  EXPECT_EQ(Check("app.db", {"--acknowledged", acknowledged_}), 1);
  EXPECT_EQ(Check("app.db", {"--at-least", "21"}), 1);
}

TEST_F(AppsTest, CheckTouchesNothingWhenImmutable) {
  Write("app.db", {"--transactions", "5"});
  EXPECT_EQ(Check("app.db", {"--immutable"}), 0);
  EXPECT_FALSE(std::filesystem::exists(directory_.path() / "app.db-wal"));
  EXPECT_FALSE(std::filesystem::exists(directory_.path() / "app.db-shm"));
}

}  // namespace
}  // namespace runnel::integration
