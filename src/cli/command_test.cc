#include "cli/command.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <map>

#include "cli/testing.h"

namespace runnel::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

using Arguments = std::vector<std::string>;

// Every flag of every command: those that take a value, and switches.
struct Flags {
  Arguments with_value;
  Arguments switches;
};
const std::map<std::string, Flags> kFlags = {
    {"replicate", {{"config", "log-level"}, {"no-expand-env", "once"}}},
    {"restore",
     {{"config", "o", "txid", "timestamp", "parallelism", "chain", "integrity-check"},
      {"no-expand-env", "if-db-not-exists", "if-replica-exists", "dry-run", "force", "json"}}},
    {"verify", {{"config", "parallelism"}, {"no-expand-env", "json"}}},
    {"version", {{}, {"verbose"}}},
};

class CommandTest : public testing::CommandTestBase {
 protected:
  // It fails, says so on standard error alone, and so that `what` is in it.
  void ExpectRefused(const Arguments& arguments, const std::string& what) {
    SCOPED_TRACE(fmt::format("{}", fmt::join(arguments, " ")));
    EXPECT_EQ(Run(arguments), ExitCode::kFailure);
    EXPECT_THAT(out_, IsEmpty());
    EXPECT_THAT(err_, AllOf(StartsWith("Error: "), HasSubstr(what)));
    EXPECT_TRUE(err_.ends_with("\n"));
  }
};

TEST_F(CommandTest, ThisTestKnowsEveryCommand) {
  Arguments known;
  for (const auto& [name, flags] : kFlags) known.push_back(name);
  Arguments commands;
  for (const Command& command : Commands()) commands.emplace_back(command.name);
  EXPECT_THAT(commands, ::testing::UnorderedElementsAreArray(known));
}

TEST_F(CommandTest, HelpOfACommandListsEachOfItsFlagsAndNoOther) {
  for (const auto& [name, flags] : kFlags) {
    SCOPED_TRACE(name);
    EXPECT_EQ(Run({name, "-help"}), ExitCode::kSuccess);
    const std::string help = out_;
    EXPECT_THAT(help, StartsWith("Usage: runnel " + name));
    EXPECT_THAT(err_, IsEmpty());
    std::size_t count = 0;
    for (std::size_t at = help.find("\n  -"); at != help.npos; at = help.find("\n  -", at + 1)) {
      ++count;
    }
    EXPECT_EQ(count, flags.with_value.size() + flags.switches.size());
    for (const std::string& flag : flags.with_value) EXPECT_THAT(help, HasSubstr("\n  -" + flag));
    for (const std::string& flag : flags.switches) EXPECT_THAT(help, HasSubstr("\n  -" + flag));
    EXPECT_EQ(Run({"help", name}), ExitCode::kSuccess);
    EXPECT_EQ(out_, help);
  }
}

TEST_F(CommandTest, AFlagWithoutItsValueIsRefused) {
  for (const auto& [name, flags] : kFlags) {
    for (const std::string& flag : flags.with_value) {
      ExpectRefused({name, "-" + flag}, fmt::format("-{} needs a value", flag));
    }
  }
}

TEST_F(CommandTest, ASwitchWithAValueThatIsNoneIsRefused) {
  for (const auto& [name, flags] : kFlags) {
    for (const std::string& flag : flags.switches) {
      ExpectRefused({name, fmt::format("-{}=perhaps", flag)}, "-" + flag);
    }
  }
}

TEST_F(CommandTest, AnUnknownFlagIsRefused) {
  for (const auto& [name, flags] : kFlags) ExpectRefused({name, "-nonsense"}, "-nonsense");
  ExpectRefused({"restore", "-timestmap", "x"}, "did you mean -timestamp?");
}

TEST_F(CommandTest, AFlagBehindTheArgumentsIsRefused) {
  ExpectRefused({"restore", "file:///copy", "-o", "x"}, "flags come before the first argument");
  ExpectRefused({"verify", "file:///copy", "-json"}, "flags come before the first argument");
  ExpectRefused({"replicate", "app.db", "file:///copy", "-once"},
                "flags come before the first argument");
}

TEST_F(CommandTest, WithoutACommandItFailsAndShowsWhatThereIs) {
  EXPECT_EQ(Run({}), ExitCode::kFailure);
  for (const Command& command : Commands()) {
    EXPECT_THAT(
        out_, AllOf(HasSubstr(std::string(command.name)), HasSubstr(std::string(command.summary))));
  }
  const std::string usage = out_;
  for (const char* help : {"help", "-h", "-help", "--help"}) {
    EXPECT_EQ(Run({help}), ExitCode::kSuccess);
    EXPECT_EQ(out_, usage) << help;
  }
}

TEST_F(CommandTest, AnUnknownCommandIsNamedWithTheNearest) {
  ExpectRefused({"restor"}, "did you mean restore?");
  ExpectRefused({"help", "verfy"}, "did you mean verify?");
  ExpectRefused({"databases"}, "`runnel help` lists them");
}

TEST_F(CommandTest, TheVersionIsAskedForInThreeWays) {
  EXPECT_EQ(Run({"version"}), ExitCode::kSuccess);
  const std::string version = out_;
  EXPECT_THAT(version, ::testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+\n"));
  for (const char* flag : {"-version", "--version"}) {
    EXPECT_EQ(Run({flag}), ExitCode::kSuccess);
    EXPECT_EQ(out_, version);
  }
  EXPECT_EQ(Run({"version", "-verbose"}), ExitCode::kSuccess);
  EXPECT_THAT(out_, AllOf(HasSubstr("Version:    " + version), HasSubstr("Git Commit: "),
                          HasSubstr("Build:      ")));
  ExpectRefused({"version", "now"}, "takes no arguments");
}

TEST_F(CommandTest, RestoreRefusesValuesThatCannotBe) {
  const std::string url = "file:///copy";
  for (const char* txid : {"", "2a", "2", "000000000000002g", "00000000000000002a", "-1"}) {
    if (*txid == '\0') continue;  // the same as none
    ExpectRefused({"restore", "-o", "x", "-txid", txid, url}, "exactly 16 hex digits");
  }
  for (const char* time : {"yesterday", "2026-08-19", "2026-08-19T14:00:00"}) {
    ExpectRefused({"restore", "-o", "x", "-timestamp", time, url}, "2026-08-19T14:00:00Z");
  }
  ExpectRefused({"restore", "-o", "x", "-txid", "000000000000002a", "-timestamp",
                 "2026-08-19T14:00:00Z", url},
                "-txid and -timestamp exclude each other");
  for (const char* number : {"0", "-1", "65"}) {
    ExpectRefused({"restore", "-o", "x", "-parallelism", number, url}, "1 to 64");
    ExpectRefused({"verify", "-parallelism", number, url}, "1 to 64");
  }
  ExpectRefused({"restore", "-parallelism", "many", url}, "a whole number");
  ExpectRefused({"restore", "-o", "x", "-chain", "loose", url}, "strict, up-to-break or ignore");
  ExpectRefused({"restore", "-o", "x", "-integrity-check", "some", url}, "none, quick or full");
  ExpectRefused({"restore", "-f", url}, "later version");
}

TEST_F(CommandTest, RestoreAndVerifyNeedOneSource) {
  for (const char* command : {"restore", "verify"}) {
    ExpectRefused({command}, "needs one database or URL");
    ExpectRefused({command, "file:///a", "file:///b"}, "needs one database or URL");
    ExpectRefused({command, "sftp://host/app"}, "come with a later one");
    ExpectRefused({command, "-config", "/etc/runnel.yml", "file:///a"}, "of no use");
  }
  ExpectRefused({"restore", "file:///copy"}, "-o PATH");
  ExpectRefused({"verify", "file://copy"}, "three slashes");
}

TEST_F(CommandTest, AUrlsSecretsAreNotRepeated) {
  EXPECT_EQ(Run({"verify", "s3://key:secret@bucket/app"}), ExitCode::kFailure);
  EXPECT_THAT(err_, ::testing::Not(HasSubstr("secret")));
}

TEST_F(CommandTest, ReplicateRefusesWhatCannotBe) {
  ExpectRefused({"replicate", "app.db"}, "runnel replicate app.db file:///backup/app");
  ExpectRefused({"replicate", "-config", "/c.yml", "app.db", "file:///copy"}, "either -config");
  ExpectRefused({"replicate", "app.db", "/copy"}, "a replica is named by a URL");
  ExpectRefused({"replicate", "app.db", "sftp://host/app"}, "come with a later one");
  ExpectRefused({"replicate", "-log-level", "loud", "app.db", "file:///copy"},
                "trace, debug, info, warn or error");
  environment_["LOG_LEVEL"] = "loud";
  ExpectRefused({"replicate", "app.db", "file:///copy"}, "log level 'loud'");
}

TEST_F(CommandTest, AConfigurationThatIsNotThereIsNamed) {
  ExpectRefused({"replicate"}, "/etc/litestream.yml");
  ExpectRefused({"verify", "-config", "/my.yml", "/app.db"}, "/my.yml");
  environment_["LITESTREAM_CONFIG"] = "/other.yml";
  ExpectRefused({"restore", "/app.db"}, "/other.yml");
}

TEST_F(CommandTest, EveryErrorOfAConfigurationIsShownWithItsLine) {
  WriteFile("/c.yml",
            "dbs:\n"
            "  - path: /app.db\n"
            "    sync-intervall: 1s\n"
            "    replica: {path: /copy, retention: forever}\n");
  ExpectRefused({"replicate", "-config", "/c.yml"}, "the configuration cannot be used:");
  EXPECT_THAT(err_, AllOf(HasSubstr("/c.yml:3:"), HasSubstr("sync-interval"), HasSubstr(":4:"),
                          HasSubstr("retention")));
}

TEST_F(CommandTest, ADatabaseThatTheConfigurationDoesNotHaveIsNamed) {
  WriteFile("/c.yml", "dbs: [{path: /app.db, replica: {path: /copy}}]");
  ExpectRefused({"restore", "-config", "/c.yml", "/other.db"}, "/other.db is not in /c.yml");
}

TEST_F(CommandTest, UnderTheNameLitestreamAnUnknownKeyIsAWarning) {
  EXPECT_EQ(StrictnessOf("/usr/local/bin/litestream"), config::Strictness::kLitestream);
  EXPECT_EQ(StrictnessOf("litestream"), config::Strictness::kLitestream);
  for (const char* other : {"", "runnel", "/litestream/runnel", "litestream2"}) {
    EXPECT_EQ(StrictnessOf(other), config::Strictness::kRunnel) << other;
  }
  WriteFile("/c.yml", "colour: blue\ndbs:\n  - path: /db\n    replica: {path: /none}\n");
  const Arguments restore = {"restore", "-config", "/c.yml", "-o", "/out", "/db"};
  ExpectRefused(restore, "colour");
  process_.strictness = config::Strictness::kLitestream;
  EXPECT_EQ(Run(restore), ExitCode::kFailure);
  EXPECT_THAT(err_, HasSubstr("colour"));
  EXPECT_THAT(err_, HasSubstr("no backup")) << "it went on";
}

}  // namespace
}  // namespace runnel::cli
