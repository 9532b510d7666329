// What a user meets before anything is replicated: texts, exit codes, wrong arguments.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/process.h"

namespace runnel::cli_testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

TEST(CommandLineTest, WithoutACommandItSaysHowToUseIt) {
  const Outcome outcome = RunRunnel({});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.out, HasSubstr("Usage: runnel COMMAND"));
}

TEST(CommandLineTest, HelpIsASuccessInEverySpelling) {
  for (const std::string spelling : {"help", "-h", "-help", "--help"}) {
    const Outcome outcome = RunRunnel({spelling});
    EXPECT_EQ(outcome.exit_code, 0) << spelling;
    EXPECT_THAT(outcome.out, AllOf(HasSubstr("replicate"), HasSubstr("restore"),
                                   HasSubstr("verify"), HasSubstr("version")));
    EXPECT_THAT(outcome.err, IsEmpty());
  }
}

TEST(CommandLineTest, EveryCommandExplainsItself) {
  for (const std::string command : {"replicate", "restore", "verify", "version"}) {
    for (const std::string spelling : {"-h", "-help", "--help"}) {
      const Outcome outcome = RunRunnel({command, spelling});
      EXPECT_EQ(outcome.exit_code, 0) << command;
      EXPECT_THAT(outcome.out, StartsWith("Usage: runnel " + command));
      EXPECT_THAT(outcome.out, HasSubstr("Flags:"));
    }
    const Outcome outcome = RunRunnel({"help", command});
    EXPECT_EQ(outcome.exit_code, 0) << command;
    EXPECT_THAT(outcome.out, StartsWith("Usage: runnel " + command));
  }
}

TEST(CommandLineTest, NoHelpLineIsWiderThanATerminal) {
  for (const std::string command : {"replicate", "restore", "verify", "version"}) {
    std::istringstream help(RunRunnel({command, "-h"}).out);
    for (std::string line; std::getline(help, line);) EXPECT_LE(line.size(), 100U) << line;
  }
}

TEST(CommandLineTest, VersionIsOneLine) {
  const Outcome outcome = RunRunnel({"version"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.out, MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+\n"));
  for (const std::string spelling : {"-version", "--version"}) {
    EXPECT_EQ(RunRunnel({spelling}).out, outcome.out);
  }
  EXPECT_THAT(RunRunnel({"version", "-verbose"}).out, HasSubstr("Git Commit:"));
}

TEST(CommandLineTest, AMisspelledCommandIsAnsweredWithTheNearestOne) {
  const Outcome outcome = RunRunnel({"restor"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err,
              AllOf(StartsWith("Error: restor: "), HasSubstr("did you mean restore?")));
  EXPECT_THAT(outcome.out, IsEmpty());
  EXPECT_THAT(RunRunnel({"frobnicate"}).err, HasSubstr("runnel help"));
}

struct BadArguments {
  std::string name;
  std::vector<std::string> arguments;
  std::vector<std::string> says;
};

class BadArgumentsTest : public ::testing::TestWithParam<BadArguments> {};

TEST_P(BadArgumentsTest, FailWithTheCure) {
  const Outcome outcome = RunRunnel(GetParam().arguments);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, StartsWith("Error: "));
  for (const std::string& text : GetParam().says) EXPECT_THAT(outcome.err, HasSubstr(text));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadArgumentsTest,
    ::testing::ValuesIn(std::vector<BadArguments>{
        {"UnknownFlag", {"restore", "-outptu", "x"}, {"-outptu", "no such flag"}},
        {"MisspelledFlag", {"restore", "-dry-rum", "x"}, {"did you mean -dry-run?"}},
        {"FlagWithoutValue", {"restore", "-o"}, {"-o needs a value: -o PATH"}},
        {"NotANumber", {"restore", "-parallelism", "many", "x"}, {"-parallelism", "'many'"}},
        {"NumberOutOfRange", {"restore", "-parallelism", "65", "x"}, {"1 to 64"}},
        {"FlagAfterArgument", {"restore", "file:///x", "-o", "y"}, {"-o", "before the first"}},
        {"NothingToRestore", {"restore"}, {"Try: runnel restore -o app.db file:///"}},
        {"TwoToRestore", {"restore", "-o", "x", "file:///x", "file:///y"}, {"Try: runnel restore"}},
        {"UrlWithoutOutput", {"restore", "file:///x"}, {"-o PATH"}},
        {"ShortTxid", {"restore", "-txid", "2a", "-o", "x", "file:///x"}, {"16 hex digits"}},
        {"NotATime",
         {"restore", "-timestamp", "yesterday", "-o", "x", "file:///x"},
         {"yesterday", "2026-08-19T14:00:00Z"}},
        {"TxidAndTime",
         {"restore", "-txid", "000000000000002a", "-timestamp", "2026-08-19T14:00:00Z", "-o", "x",
          "file:///x"},
         {"exclude each other"}},
        {"ConfigWithUrl", {"restore", "-config", "/c", "-o", "x", "file:///x"}, {"-config"}},
        {"Following", {"restore", "-f", "-o", "x", "file:///x"}, {"-f", "later version"}},
        {"UnknownCheck",
         {"restore", "-integrity-check", "some", "-o", "x", "file:///x"},
         {"none, quick or full"}},
        {"RelativeUrl", {"verify", "file://x"}, {"file://x", "file:///srv/backup/app"}},
        {"ForeignUrl", {"verify", "sftp://bucket/x"}, {"sftp://", "file:///path"}},
        {"NothingToVerify", {"verify"}, {"Try: runnel verify file:///"}},
        {"ReplicateWhere",
         {"replicate", "app.db"},
         {"where to?", "runnel replicate app.db file:///"}},
        {"ReplicateToAPath", {"replicate", "app.db", "/backup"}, {"/backup", "file:///backup"}},
        {"ReplicateTwice", {"replicate", "-config", "/c", "app.db", "file:///x"}, {"-config"}},
        {"LogLevel", {"replicate", "-log-level", "loud", "app.db", "file:///x"}, {"loud", "debug"}},
        {"NoConfiguration",
         {"replicate", "-config", "/nonexistent.yml"},
         {"/nonexistent.yml", "-config"}},
        {"NotInConfiguration",
         {"restore", "-config", "/dev/null", "app.db"},
         {"/app.db", "/dev/null"}},
        {"VersionOfWhat", {"version", "of"}, {"no arguments"}},
    }),
    [](const auto& info) { return info.param.name; });

TEST(CommandLineTest, SecretsInUrlsAreNotRepeated) {
  const Outcome outcome = RunRunnel({"verify", "s3://key:secret@host/bucket"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(Count(outcome.err + outcome.out, "secret"), 0U);
}

}  // namespace
}  // namespace runnel::cli_testing
