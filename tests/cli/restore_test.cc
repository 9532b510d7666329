// `runnel restore` and `runnel verify` on a replica with two restore points.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/world.h"

namespace runnel::cli_testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr char kFirst[] = "0000000000000001";
constexpr char kSecond[] = "0000000000000002";

class RestoreTest : public WorldTest {
 protected:
  // t has 200 rows at txid 1, 201 at txid 2.
  RestoreTest() {
    MakeDatabase(database_);
    ReplicateOnce();
    App(database_).Run("INSERT INTO t(y) VALUES('second')");
    ReplicateOnce();
  }

  void ReplicateOnce() {
    const Outcome once = RunRunnel({"replicate", "-once", database_.string(), Url(replica_)});
    ASSERT_EQ(once.exit_code, 0) << once.out << once.err;
  }

  json DryRun(std::vector<std::string> flags = {}) {
    flags.insert(flags.begin(), {"-dry-run", "-json"});
    const Outcome outcome = Restore(replica_, output_, flags);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return json::parse(outcome.out);
  }

  std::string RestoredRows() { return App(output_).Get("SELECT count(*) FROM t"); }

  Path ObjectOf(const std::string& txid) const {
    return replica_ / "ltx" / "0" / (txid + "-" + txid + ".ltx");
  }

  const Path output_ = directory_.path() / "out.db";
};

TEST_F(RestoreTest, TheNewestStateIsTheDatabase) {
  ExpectRestoresTo(replica_, database_);
  ExpectVerifies(replica_);
}

TEST_F(RestoreTest, JsonTellsWhatWasDone) {
  const Outcome outcome = Restore(replica_, output_, {"-json", "-integrity-check", "quick"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const json result = json::parse(outcome.out);
  EXPECT_EQ(result.at("db_path"), output_.string());
  EXPECT_EQ(result.at("replica"), Url(replica_));
  EXPECT_EQ(result.at("txid"), kSecond);
  EXPECT_GE(result.at("duration_ms").get<int>(), 0);
  EXPECT_EQ(result.at("integrity_check"), "quick");
  EXPECT_EQ(result.at("database_bytes").get<std::uint64_t>(), std::filesystem::file_size(output_));
  EXPECT_TRUE(outcome.out.ends_with("}\n"));
}

TEST_F(RestoreTest, DryRunShowsThePlanAndTouchesNothing) {
  const json plan = DryRun();
  EXPECT_EQ(plan.at("source"), Url(replica_));
  EXPECT_EQ(plan.at("target_path"), output_.string());
  EXPECT_EQ(plan.at("replica"), Url(replica_));
  EXPECT_EQ(plan.at("min_txid"), kFirst);
  EXPECT_EQ(plan.at("max_txid"), kSecond);
  ASSERT_EQ(plan.at("files").size(), 2U);
  const json& file = plan.at("files").at(1);
  EXPECT_EQ(file.at("level"), 0);
  EXPECT_EQ(file.at("name"), std::string(kSecond) + "-" + kSecond + ".ltx");
  EXPECT_EQ(file.at("min_txid"), kSecond);
  EXPECT_EQ(file.at("max_txid"), kSecond);
  EXPECT_EQ(file.at("size").get<std::uint64_t>(), std::filesystem::file_size(ObjectOf(kSecond)));
  EXPECT_EQ(file.at("timestamp").get<std::string>().size(),
            std::string("2026-08-19T14:00:00.000Z").size());
  EXPECT_FALSE(exists(output_));

  const Outcome text = Restore(replica_, output_, {"-dry-run"});
  EXPECT_THAT(text.out, AllOf(StartsWith("source:"), HasSubstr("level  file")));
}

TEST_F(RestoreTest, ATxidIsRestoredExactly) {
  ASSERT_EQ(Restore(replica_, output_, {"-txid", kFirst}).exit_code, 0);
  EXPECT_EQ(RestoredRows(), "200");
}

TEST_F(RestoreTest, ATxidThatIsNotThereIsRefusedWithTheNearestOne) {
  const Outcome outcome = Restore(replica_, output_, {"-txid", "0000000000000009"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("0000000000000009"), HasSubstr(kSecond)));
  EXPECT_FALSE(exists(output_));
}

TEST_F(RestoreTest, ATimeShowsNothingLater) {
  const std::string first = DryRun().at("files").at(0).at("timestamp");
  const std::string second = DryRun().at("files").at(1).at("timestamp");
  ASSERT_EQ(Restore(replica_, output_, {"-timestamp", second}).exit_code, 0);
  EXPECT_EQ(RestoredRows(), "200") << "what was cut at " << second << " was committed before it";

  const Outcome too_early = Restore(replica_, directory_.path() / "early", {"-timestamp", first});
  EXPECT_EQ(too_early.exit_code, 1);
  EXPECT_THAT(too_early.err, HasSubstr(first));
}

TEST_F(RestoreTest, ATimeInTheFutureIsTheNewestState) {
  ASSERT_EQ(Restore(replica_, output_, {"-timestamp", "2126-01-01T00:00:00Z"}).exit_code, 0);
  EXPECT_EQ(RestoredRows(), "201");
}

TEST_F(RestoreTest, NothingThatIsThereIsOverwritten) {
  WriteAll(output_, "precious");
  const Outcome outcome = Restore(replica_, output_);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr(output_.string()), HasSubstr("-force")));
  EXPECT_EQ(ReadAll(output_), "precious");

  ASSERT_EQ(Restore(replica_, output_, {"-force"}).exit_code, 0);
  EXPECT_EQ(RestoredRows(), "201");
}

TEST_F(RestoreTest, AForeignWalBesideTheOutputIsRefused) {
  WriteAll(output_.string() + "-wal", "somebody's");
  const Outcome outcome = Restore(replica_, output_);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr(output_.string() + "-wal"));
  EXPECT_FALSE(exists(output_));
}

TEST_F(RestoreTest, AFolderIsNoOutput) {
  create_directory(output_);
  EXPECT_THAT(Restore(replica_, output_, {"-force"}).err, HasSubstr("not a regular file"));
}

TEST_F(RestoreTest, IfDbNotExistsLeavesADatabaseAlone) {
  WriteAll(output_, "precious");
  const Outcome outcome = Restore(directory_.path() / "no-replica", output_, {"-if-db-not-exists"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("already exists, skipping"));
  EXPECT_EQ(ReadAll(output_), "precious");
}

TEST_F(RestoreTest, IfReplicaExistsTakesNoReplicaForASuccess) {
  for (const std::string dry : {"-dry-run=false", "-dry-run"}) {
    const Outcome outcome =
        Restore(directory_.path() / "no-replica", output_, {"-if-replica-exists", dry});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("no matching backups found"));
    EXPECT_FALSE(exists(output_));
  }
}

TEST_F(RestoreTest, IfReplicaExistsTakesNoDamageForASuccess) {
  WriteAll(ObjectOf(kFirst), "damaged");
  EXPECT_EQ(Restore(replica_, output_, {"-if-replica-exists"}).exit_code, 1);
}

TEST_F(RestoreTest, AnEmptyOrWrongPrefixFailsLoudly) {
  const Outcome missing = Restore(directory_.path() / "no-replica", output_);
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.err, AllOf(HasSubstr("no-replica"), HasSubstr("nothing is there")));
  EXPECT_EQ(Count(missing.err, "no-replica"), 1U) << missing.err;

  const Outcome above = Restore(directory_.path(), output_);
  EXPECT_EQ(above.exit_code, 1);
  EXPECT_THAT(above.err, HasSubstr("there is a replica at path"));
  for (const Path& wrong : {directory_.path() / "no-replica", directory_.path()}) {
    const Outcome verified = RunRunnel({"verify", Url(wrong)});
    EXPECT_EQ(verified.exit_code, 1);
    EXPECT_THAT(verified.err, HasSubstr("no "));
  }
}

TEST_F(RestoreTest, ADamagedObjectIsNamedAndNothingIsLeftBehind) {
  std::string bytes = ReadAll(ObjectOf(kSecond));
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x40);
  WriteAll(ObjectOf(kSecond), bytes);

  const Outcome outcome = Restore(replica_, output_);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr(std::string(kSecond) + "-" + kSecond + ".ltx"));
  for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
    EXPECT_EQ(Count(entry.path().filename().string(), "out.db"), 0U) << entry.path();
  }
  const Outcome verified = RunRunnel({"verify", "-json", Url(replica_)});
  EXPECT_EQ(verified.exit_code, 1);
  const json result = json::parse(verified.out);
  EXPECT_FALSE(result.at("ok").get<bool>());
  ASSERT_FALSE(result.at("findings").empty());
  EXPECT_THAT(result.at("findings").at(0).at("object").get<std::string>(), HasSubstr(kSecond));
  EXPECT_THAT(result.at("findings").at(0).at("cure").get<std::string>(), Not(IsEmpty()));
  ASSERT_EQ(Restore(replica_, output_, {"-txid", kFirst}).exit_code, 0);
  EXPECT_EQ(RestoredRows(), "200");
}

TEST_F(RestoreTest, WithoutRoomItFailsAndLeavesNothing) {
  const Outcome outcome =
      RunRunnel({"restore", "-o", output_.string(), Url(replica_)}, {.file_size_max = 4096});
  EXPECT_EQ(outcome.exit_code, 1) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr(output_.string()));
  for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
    EXPECT_EQ(Count(entry.path().filename().string(), "out.db"), 0U) << entry.path();
  }
}

}  // namespace
}  // namespace runnel::cli_testing
