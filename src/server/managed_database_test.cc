#include "server/managed_database.h"

#include <gmock/gmock.h>

#include "server/testing.h"

namespace runnel::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;

class ManagedDatabaseTest : public testing::ServerTestBase {
 protected:
  std::unique_ptr<ManagedDatabase> Start(DatabaseSpec spec) {
    auto database = std::make_unique<ManagedDatabase>(std::move(spec), shared_);
    EXPECT_OK(database->Start());
    return database;
  }

  // Waiting would wait for jobs that only this thread runs: past this there is nothing to wait for.
  MonotonicTime Now() { return clock_.MonotonicNow(); }

  sqlite::OpenRegistry registry_{fs_};
  const Shared shared_{.fs = fs_,
                       .registry = registry_,
                       .clock = clock_,
                       .random = random_,
                       .log = log_,
                       .scheduler = scheduler_,
                       .host = "here",
                       .boot_id = "boot"};
};

TEST_F(ManagedDatabaseTest, WhatIsCommittedBeforeTheFinalSyncIsInEveryReplicaAfterIt) {
  const auto app = MakeDatabase("app.db");
  const auto database = Start(SpecOf("app.db", {"one", "two"}));
  LetTimePass();
  app->Run("INSERT INTO t VALUES ('last')");
  database->BeginFinalSync();
  LetTimePass(milliseconds(10));  // an interval need not pass
  EXPECT_OK(database->AwaitFinalSync(Now()));
  EXPECT_OK(database->Stop());
  EXPECT_EQ(RowsIn("one"), 11);
  EXPECT_EQ(RowsIn("two"), 11);
}

TEST_F(ManagedDatabaseTest, AFinalSyncBeforeCaptureBeganIsAskedForAgain) {
  const auto app = MakeDatabase("app.db");
  const auto database = Start(SpecOf("app.db", {"one"}));
  database->BeginFinalSync();
  LetTimePass();
  // Capture is there by now; the wait asks it once more and then finds all done.
  database->BeginFinalSync();
  LetTimePass();
  EXPECT_OK(database->AwaitFinalSync(Now()));
  EXPECT_EQ(RowsIn("one"), 10);
}

TEST_F(ManagedDatabaseTest, AReplicaThatIsLateIsNamedWithItsReasonAndWhatBecomesOfTheCommits) {
  const auto app = MakeDatabase("app.db");
  const auto database = Start(SpecOf("app.db", {"one", "two"}));
  LetTimePass();
  std::filesystem::rename(Here("two"), Here("away"));
  Block("two");
  app->Run("INSERT INTO t VALUES ('last')");
  database->BeginFinalSync();
  LetTimePass();
  const auto late = database->AwaitFinalSync(Now());
  ASSERT_FAILS(Errc::kTimedOut, late);
  EXPECT_THAT(late.error().message(),
              AllOf(HasSubstr(Here("app.db").string()), HasSubstr("replica two"),
                    HasSubstr("they are staged and go there at the next start")));
  EXPECT_OK(database->Stop());
  EXPECT_EQ(RowsIn("one"), 11);

  Unblock("two");
  std::filesystem::rename(Here("away"), Here("two"));
  const auto again = Start(SpecOf("app.db", {"one", "two"}));
  LetTimePass();
  EXPECT_OK(again->Stop());
  EXPECT_EQ(RowsIn("two"), 11);
}

TEST_F(ManagedDatabaseTest, PatienceEndsWithWhatIsWrongAndNotBefore) {
  const auto app = MakeDatabase("app.db");
  Block("one");
  const auto database = Start(SpecOf("app.db", {"one"}));
  LetTimePass();
  database->BeginFinalSync();
  const auto wrong = database->AwaitFinalSyncWhileWell(milliseconds(0));
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message(),
              AllOf(HasSubstr(Here("app.db").string()), HasSubstr("replica one")));
  EXPECT_OK(database->Stop());
}

TEST_F(ManagedDatabaseTest, ADatabaseThatDoesNotExistIsNoErrorAtTheEndButOneForASingleRun) {
  const auto database = Start(SpecOf("none.db", {"one"}));
  LetTimePass();
  database->BeginFinalSync();
  EXPECT_OK(database->AwaitFinalSync(Now()));
  const auto single = database->AwaitFinalSyncWhileWell(seconds(30));
  ASSERT_FAILS(Errc::kNotFound, single);
  EXPECT_THAT(single.error().message(), HasSubstr(Here("none.db").string()));
  EXPECT_OK(database->Stop());
}

TEST_F(ManagedDatabaseTest, ADatabaseThatIsNoneIsAnErrorInBothCases) {
  auto file = fs_.Open(Here("text.db"), fs::OpenMode::kCreate);
  ASSERT_OK(file);
  ASSERT_OK((*file)->WriteAt(0, Bytes(4096, std::byte{'x'})));
  const auto database = Start(SpecOf("text.db", {"one"}));
  LetTimePass();
  database->BeginFinalSync();
  for (const auto& refused :
       {database->AwaitFinalSync(Now()), database->AwaitFinalSyncWhileWell(seconds(30))}) {
    ASSERT_FAILS(Errc::kUnsupported, refused);
    EXPECT_THAT(refused.error().message(),
                AllOf(HasSubstr(Here("text.db").string()), HasSubstr("not an SQLite database")));
  }
}

// Whoever may read the database may read the copy.
TEST_F(ManagedDatabaseTest, AReplicaHasTheOwnershipOfTheDatabase) {
  const auto app = MakeDatabase("app.db");
  std::filesystem::permissions(Here("app.db"), std::filesystem::perms(0640));
  const auto database = Start(SpecOf("app.db", {"one"}));
  LetTimePass();
  EXPECT_OK(database->Stop());
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(Here("one"))) {
    if (!entry.is_regular_file()) continue;
    ++files;
    EXPECT_EQ(entry.status().permissions(), std::filesystem::perms(0640)) << entry.path();
  }
  EXPECT_GT(files, 0);
}

}  // namespace
}  // namespace runnel::server
