// The configuration file, as the program takes it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "cli/world.h"

namespace runnel::cli_testing {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class ConfigTest : public WorldTest {
 protected:
  void Write(const std::string& text) { WriteAll(config_, text); }

  Outcome Once(ProcessOptions options = {}) {
    return RunRunnel({"replicate", "-once", "-config", config_.string()}, std::move(options));
  }

  // Everything is wrong with it at once: one run names it all.
  void ExpectRefused(const std::string& text, const std::vector<std::string>& says) {
    Write(text);
    const Outcome outcome = Once();
    EXPECT_EQ(outcome.exit_code, 1) << text;
    for (const std::string& part : says) EXPECT_THAT(outcome.err, HasSubstr(part)) << text;
  }

  std::string Place(int line, int column) const {
    return config_.string() + ":" + std::to_string(line) + ":" + std::to_string(column);
  }

  const Path config_ = directory_.path() / "runnel.yml";
};

TEST_F(ConfigTest, AnUnknownKeyIsNamedWithItsPlaceAndTheNearestKey) {
  ExpectRefused(
      "dbs:\n"
      "  - path: /tmp/a.db\n"
      "    replica: {url: file:///tmp/r}\n"
      "    checkpoint-intervall: 5s\n"
      "levles: []\n",
      {Place(4, 5), "\"checkpoint-intervall\"", "did you mean \"checkpoint-interval\"?",
       Place(5, 1), "\"levles\"", "did you mean \"levels\"?"});
}

TEST_F(ConfigTest, MalformedValuesAreNamedWithTheirPlaceAndTheForm) {
  ExpectRefused(
      "sync-interval: 5 minutes\n"
      "max-staging-bytes: lots\n"
      "dbs:\n"
      "  - path: /tmp/a.db\n"
      "    replica: {url: file:///tmp/r}\n"
      "    journal-mode: memory\n",
      {Place(1, 16), "5 minutes", "1h30m", Place(2, 20), "lots", Place(6, 19), "switch"});
}

TEST_F(ConfigTest, WhatIsNoYamlIsRefusedWithItsPlace) {
  ExpectRefused("dbs: [", {config_.string() + ":"});
  ExpectRefused("garbage", {Place(1, 1)});
}

TEST_F(ConfigTest, KeysThatWouldCostSafetyIfIgnoredAreRefused) {
  ExpectRefused(
      "dbs:\n  - path: /tmp/a.db\n    replica:\n      url: file:///tmp/r\n"
      "      age: {recipients: [x]}\n",
      {Place(5, 7), "age"});
}

TEST_F(ConfigTest, AConfigurationWithoutDatabasesIsNoSuccess) {
  ExpectRefused("dbs: []\n", {"no database"});
}

TEST_F(ConfigTest, AMemoryReplicaIsRefused) {
  MakeDatabase(database_);
  ExpectRefused("dbs: [{path: " + database_.string() + ", replica: {type: memory}}]\n",
                {"memory", "file:///"});
}

TEST_F(ConfigTest, VariablesAreExpandedUnlessForbidden) {
  MakeDatabase(database_);
  Write("dbs: [{path: $APP/app.db, replica: {url: 'file://${APP}/replica'}}]\n");
  const ProcessOptions environment{.environment = {{"APP", directory_.path().string()}}};
  const Outcome expanded = Once(environment);
  EXPECT_EQ(expanded.exit_code, 0) << expanded.err;
  ExpectRestoresTo(replica_, database_);

  const Outcome as_written =
      RunRunnel({"replicate", "-once", "-no-expand-env", "-config", config_.string()}, environment);
  EXPECT_EQ(as_written.exit_code, 1);
  EXPECT_THAT(as_written.err, HasSubstr("file:///folder"));
}

TEST_F(ConfigTest, IsFoundThroughTheEnvironment) {
  MakeDatabase(database_);
  Write("dbs: [{path: app.db, replica: {path: replica}}]\n");
  const ProcessOptions options{.working_directory = directory_.path(),
                               .environment = {{"LITESTREAM_CONFIG", config_.string()}}};
  const Outcome once = RunRunnel({"replicate", "-once"}, options);
  EXPECT_EQ(once.exit_code, 0) << once.err;
  const Outcome restored = RunRunnel({"restore", "-o", "out.db", "app.db"}, options);
  EXPECT_EQ(restored.exit_code, 0) << restored.err;
  EXPECT_TRUE(exists(directory_.path() / "out.db"));
}

TEST_F(ConfigTest, LogsAsItIsTold) {
  MakeDatabase(database_);
  Write("logging: {type: json, stderr: true, level: info}\ndbs: [{path: " + database_.string() +
        ", replica: {path: " + replica_.string() + "}}]\n");
  const Outcome outcome = Once();
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("\"msg\":\"initialized db\""));
  EXPECT_THAT(Once({.environment = {{"LOG_LEVEL", "error"}}}).err, "");
}

class DirectoryTest : public ConfigTest {
 protected:
  DirectoryTest() {
    create_directories(folder_ / "sub" / "deep");
    for (const char* name : {"a.db", "b.sqlite", "sub/c.db", "sub/deep/d.db"}) {
      MakeDatabase(folder_ / name);
    }
    WriteAll(folder_ / "notes.db", "no database at all, though it is named like one, is it?");
    WriteAll(folder_ / "empty.db", "");
  }

  void WriteEntry(const std::string& more) {
    Write("dbs:\n  - dir: " + folder_.string() + "\n    replica: {url: " + Url(replica_) + "}\n" +
          more);
  }

  const Path folder_ = directory_.path() / "data";
};

TEST_F(DirectoryTest, ReplicatesWhatThePatternNames) {
  WriteEntry("    pattern: '*.db'\n");
  const Outcome outcome = Once();
  EXPECT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  ExpectRestoresTo(replica_ / "a.db", folder_ / "a.db");
  EXPECT_FALSE(exists(replica_ / "b.sqlite"));
  EXPECT_FALSE(exists(replica_ / "sub"));
  EXPECT_FALSE(exists(replica_ / "notes.db"));
}

TEST_F(DirectoryTest, RecursesWhereItIsTold) {
  WriteEntry("    pattern: '*.db'\n    recursive: true\n");
  for (int round = 0; round < 2; ++round) {  // the second time there are state folders
    const Outcome outcome = Once();
    EXPECT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("databases=3"));
  }
  ExpectRestoresTo(replica_ / "sub/deep/d.db", folder_ / "sub/deep/d.db");
  ExpectRestoresTo(replica_ / "sub/c.db", folder_ / "sub/c.db");
}

TEST_F(DirectoryTest, ADatabaseOfItCanBeRestoredByItsPath) {
  WriteEntry("    pattern: '*.db'\n    recursive: true\n");
  ASSERT_EQ(Once().exit_code, 0);
  const Path output = directory_.path() / "out.db";
  const Outcome restored = RunRunnel({"restore", "-config", config_.string(), "-o", output.string(),
                                      (folder_ / "sub/c.db").string()});
  ASSERT_EQ(restored.exit_code, 0) << restored.err;
  EXPECT_TRUE(ReadAll(output) == ReadAll(folder_ / "sub/c.db"));
  EXPECT_EQ(
      RunRunnel({"verify", "-config", config_.string(), (folder_ / "a.db").string()}).exit_code, 0);
  const Outcome other = RunRunnel({"restore", "-config", config_.string(), "-o", output.string(),
                                   (folder_ / "b.sqlite").string()});
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.err, HasSubstr("b.sqlite"));
}

TEST_F(DirectoryTest, KeepsStateWhereItIsTold) {
  WriteEntry("    pattern: '*.db'\n    recursive: true\n    meta-dir: " +
             (directory_.path() / "state").string() + "\n");
  ASSERT_EQ(Once().exit_code, 0);
  EXPECT_TRUE(exists(directory_.path() / "state/sub/c.db-litestream/ltx/0"));
  EXPECT_FALSE(exists(StateOf(folder_ / "sub/c.db")));
}

TEST_F(DirectoryTest, AMissingDirectoryIsNamed) {
  remove_all(folder_);
  WriteEntry("    pattern: '*.db'\n");
  const Outcome outcome = Once();
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr(folder_.string()));
}

// Until databases that appear later are found, whoever asks for it is told that they are not.
class TwoReplicasTest : public ConfigTest {
 protected:
  TwoReplicasTest() {
    MakeDatabase(database_);
    Write("dbs:\n  - path: " + database_.string() + "\n    replicas:\n      - {name: near, path: " +
          replica_.string() + "}\n      - {name: far, path: " + second_.string() + "}\n");
  }

  Outcome RestoreFromConfig() {
    return RunRunnel(
        {"restore", "-config", config_.string(), "-o", output_.string(), database_.string()});
  }

  static std::string FirstObject() { return "ltx/0/0000000000000001-0000000000000001.ltx"; }

  const Path second_ = directory_.path() / "second";
  const Path output_ = directory_.path() / "out.db";
};

TEST_F(TwoReplicasTest, BothGetEverything) {
  ASSERT_EQ(Once().exit_code, 0);
  ExpectRestoresTo(replica_, database_);
  ExpectRestoresTo(second_, database_);
}

TEST_F(TwoReplicasTest, RestoreTakesTheHealthyOne) {
  ASSERT_EQ(Once().exit_code, 0);
  for (const Path& damaged : {replica_, second_}) {
    const std::string whole = ReadAll(damaged / FirstObject());
    std::string bytes = whole;
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    WriteAll(damaged / FirstObject(), bytes);
    const Outcome restored = RestoreFromConfig();
    EXPECT_EQ(restored.exit_code, 0) << restored.err;
    EXPECT_TRUE(ReadAll(output_) == ReadAll(database_));
    remove(output_);
    EXPECT_EQ(RunRunnel({"verify", "-config", config_.string(), database_.string()}).exit_code, 1);
    WriteAll(damaged / FirstObject(), whole);
  }
}

TEST_F(TwoReplicasTest, WithBothDamagedBothAreNamed) {
  ASSERT_EQ(Once().exit_code, 0);
  for (const Path& damaged : {replica_, second_}) WriteAll(damaged / FirstObject(), "damaged");
  const Outcome restored = RestoreFromConfig();
  EXPECT_EQ(restored.exit_code, 1);
  EXPECT_THAT(restored.err, AllOf(HasSubstr("near"), HasSubstr("far")));
  EXPECT_FALSE(exists(output_));
}

TEST_F(TwoReplicasTest, OnceFailsWhileOneCannotBeWritten) {
  WriteAll(second_, "a file where the folder should be");
  WriteAll(config_, "shutdown-sync-timeout: 1s\n" + ReadAll(config_));
  const Outcome outcome = Once();
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("far"), HasSubstr(second_.string())));

  remove(second_);
  EXPECT_EQ(Once().exit_code, 0);
  ExpectRestoresTo(second_, database_);
}

// `required: false` says what durable means, not what a single run is for.
TEST_F(TwoReplicasTest, OnceWaitsForAReplicaThatIsNotRequired) {
  WriteAll(second_, "a file where the folder should be");
  Write("shutdown-sync-timeout: 0s\ndbs:\n  - path: " + database_.string() +
        "\n    replicas:\n      - {name: near, required: true, path: " + replica_.string() +
        "}\n      - {name: far, required: false, path: " + second_.string() + "}\n");
  EXPECT_EQ(Once().exit_code, 1);
}

TEST_F(TwoReplicasTest, ADestinationThatComesBackCatchesUp) {
  WriteAll(second_, "a file where the folder should be");
  Process daemon({"replicate", "-config", config_.string()});
  ASSERT_TRUE(daemon.Prints("upload failed"));
  App app(database_);
  app.Run("INSERT INTO t(y) VALUES('meanwhile')");
  // One destination that does not answer holds nobody up for longer than the settling.
  remove(second_);
  EXPECT_TRUE(ReplicaComesToHave(replica_, "SELECT count(*) FROM t WHERE y='meanwhile'", "1"));
  EXPECT_TRUE(ReplicaComesToHave(second_, "SELECT count(*) FROM t WHERE y='meanwhile'", "1"));
  StopDaemon(daemon);
  EXPECT_EQ(Count(daemon.Out(), "upload failed"), 1U) << daemon.Out();
}

}  // namespace
}  // namespace runnel::cli_testing
