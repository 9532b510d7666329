// The program against the server that the environment names (tools/with-radosgw).

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>

#include "cli/world.h"
#include "s3/server.h"
#include "testing/result_matchers.h"

namespace runnel::cli_testing {
namespace {

class S3ProgramTest : public WorldTest {
 protected:
  S3ProgramTest() {
    EXPECT_OK(testing::MakeTestBucket());
    MakeDatabase(database_);
  }

  std::string UrlOf(const std::string& name) const {
    return "s3://bucket/program-" + std::to_string(::getpid()) + "/" + name +
           "?endpoint=" + testing::FromEnvironment("RUNNEL_TEST_S3_ENDPOINT");
  }

  static ProcessOptions Keys() {
    return {.environment = {
                {"AWS_ACCESS_KEY_ID", testing::FromEnvironment("AWS_ACCESS_KEY_ID")},
                {"AWS_SECRET_ACCESS_KEY", testing::FromEnvironment("AWS_SECRET_ACCESS_KEY")}}};
  }

  std::unique_ptr<Process> Replicate(const std::string& url) {
    return std::make_unique<Process>(std::vector<std::string>{"replicate", database_.string(), url},
                                     Keys());
  }

  // What `sql` gives on the newest state in the replica.
  std::string Restored(const std::string& url, const std::string& sql) {
    const Path copy = directory_.path() / ("copy" + std::to_string(++copies_));
    const Outcome outcome = RunRunnel({"restore", "-o", copy.string(), url}, Keys());
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return outcome.exit_code == 0 ? App(copy).Get(sql) : outcome.err;
  }

 private:
  int copies_ = 0;
};

TEST_F(S3ProgramTest, KeepsALiveDatabaseAndBringsItBack) {
  const std::string url = UrlOf("live");
  App app(database_);
  auto daemon = Replicate(url);
  app.Run("CREATE TABLE marks(n); INSERT INTO marks VALUES (1)");
  EXPECT_TRUE(Eventually([&] {
    const Outcome verified = RunRunnel({"verify", url}, Keys());
    return verified.exit_code == 0;
  })) << daemon->Err()
      << daemon->Out();
  app.Run("INSERT INTO marks VALUES (2)");
  StopDaemon(*daemon);  // with a final sync
  EXPECT_EQ(Restored(url, "SELECT group_concat(n) FROM marks"), "1,2");
  daemon = Replicate(url);
  ASSERT_TRUE(daemon->Prints("initialized db"));
  app.Run("INSERT INTO marks VALUES (3)");
  StopDaemon(*daemon);
  EXPECT_EQ(Restored(url, "SELECT group_concat(n) FROM marks"), "1,2,3");
  const Outcome verified = RunRunnel({"verify", url}, Keys());
  EXPECT_EQ(verified.exit_code, 0) << verified.out;
}

TEST_F(S3ProgramTest, ALargeFirstCopyGoesInParts) {
  App app(database_);
  app.Run(
      "CREATE TABLE noise(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE "
      "i < 30000) INSERT INTO noise SELECT randomblob(1000) FROM n");
  const std::string url = UrlOf("large");
  const Outcome once = RunRunnel({"replicate", "-once", database_.string(), url}, Keys());
  ASSERT_EQ(once.exit_code, 0) << once.out << once.err;
  EXPECT_EQ(Restored(url, "SELECT count(*) FROM noise"), "30000");
}

TEST_F(S3ProgramTest, ASecondDaemonFencesTheFirst) {
  const std::string url = UrlOf("fence");
  App app(database_);
  auto first = Replicate(url);
  ASSERT_TRUE(first->Prints("initialized db"));
  ASSERT_TRUE(Eventually([&] { return RunRunnel({"verify", url}, Keys()).exit_code == 0; }));
  // Another host: another copy of the database, with a state of its own.
  const Path other = directory_.path() / "other" / "app.db";
  std::filesystem::create_directory(other.parent_path());
  ASSERT_EQ(RunRunnel({"restore", "-o", other.string(), url}, Keys()).exit_code, 0);
  App other_app(other);
  other_app.Run("PRAGMA journal_mode=WAL; CREATE TABLE of_the_second(x)");
  Process second({"replicate", other.string(), url}, Keys());
  ASSERT_TRUE(Eventually([&] {
    return Restored(url, "SELECT count(*) FROM sqlite_schema WHERE name = 'of_the_second'") == "1";
  })) << second.Out();
  app.Run("CREATE TABLE of_the_first(x)");
  EXPECT_TRUE(first->Prints("fenced")) << first->Out();
  StopDaemon(second);
  EXPECT_EQ(Restored(url, "SELECT count(*) FROM sqlite_schema WHERE name = 'of_the_first'"), "0");
  EXPECT_EQ(RunRunnel({"verify", url}, Keys()).exit_code, 0);
}

TEST_F(S3ProgramTest, AnEmptyPlaceIsNoBackup) {
  const Outcome outcome =
      RunRunnel({"restore", "-o", (directory_.path() / "x").string(), UrlOf("none")}, Keys());
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(Count(outcome.err, "no backup in s3://bucket/"), 1U) << outcome.err;
}

}  // namespace
}  // namespace runnel::cli_testing
