#include "cli/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/result_matchers.h"

namespace runnel::cli {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FlagSetTest : public ::testing::Test {
 protected:
  FlagSetTest() {
    flags_.Text("output", output_, "PATH", "where to");
    flags_.Number("parallelism", parallelism_, "N", "how many");
    flags_.Duration("wait", wait_, "how long");
    flags_.Toggle("force", force_, "do it");
    flags_.Refused("f", "comes later");
    flags_.Example("runnel do it", "does it");
  }

  Result<std::vector<std::string>> Parse(std::vector<std::string> arguments) {
    return flags_.Parse(arguments);
  }

  // The message of the error that `arguments` are refused with.
  std::string Refusal(std::vector<std::string> arguments) {
    const auto parsed = Parse(std::move(arguments));
    EXPECT_FAILS(Errc::kInvalidArgument, parsed);
    return parsed ? "" : parsed.error().message();
  }

  std::string output_ = "here";
  int parallelism_ = 8;
  milliseconds wait_{1500};
  Switch force_ = Switch::kOff;
  FlagSet flags_{"runnel do [flags] WHAT", "Does it."};
};

TEST_F(FlagSetTest, ValuesFollowOrAreJoinedWithOneDashOrTwo) {
  ASSERT_OK_AND_ASSIGN(const auto rest, Parse({"-output", "a", "--parallelism=3", "-wait=2s",
                                               "--force", "one", "two"}));
  EXPECT_THAT(rest, ElementsAre("one", "two"));
  EXPECT_EQ(output_, "a");
  EXPECT_EQ(parallelism_, 3);
  EXPECT_EQ(wait_, milliseconds(2000));
  EXPECT_EQ(force_, Switch::kOn);
}

TEST_F(FlagSetTest, WithoutAFlagTheDefaultsStay) {
  ASSERT_OK_AND_ASSIGN(const auto rest, Parse({}));
  EXPECT_THAT(rest, IsEmpty());
  EXPECT_EQ(output_, "here");
  EXPECT_EQ(parallelism_, 8);
  EXPECT_EQ(wait_, milliseconds(1500));
  EXPECT_EQ(force_, Switch::kOff);
}

TEST_F(FlagSetTest, TheLastOfTwoCounts) {
  ASSERT_OK(Parse({"-output", "a", "-output=b"}));
  EXPECT_EQ(output_, "b");
}

TEST_F(FlagSetTest, ASwitchTakesNoValueButAJoinedOne) {
  for (const char* on : {"-force", "-force=true", "-force=1", "-force=t"}) {
    force_ = Switch::kOff;
    ASSERT_OK_AND_ASSIGN(const auto rest, Parse({on, "false"}));
    EXPECT_THAT(rest, ElementsAre("false"));
    EXPECT_EQ(force_, Switch::kOn) << on;
  }
  for (const char* off : {"-force=false", "-force=0", "-force=f"}) {
    force_ = Switch::kOn;
    ASSERT_OK(Parse({off}));
    EXPECT_EQ(force_, Switch::kOff) << off;
  }
  EXPECT_THAT(Refusal({"-force=maybe"}), AllOf(HasSubstr("-force"), HasSubstr("'maybe'")));
}

TEST_F(FlagSetTest, EmptyTextIsAValue) {
  ASSERT_OK(Parse({"-output="}));
  EXPECT_EQ(output_, "");
  ASSERT_OK(Parse({"-output", ""}));
  EXPECT_EQ(output_, "");
}

TEST_F(FlagSetTest, AnUnknownFlagIsNamedWithTheNearestKnownOne) {
  EXPECT_THAT(Refusal({"-paralelism", "2"}),
              AllOf(HasSubstr("-paralelism"), HasSubstr("did you mean -parallelism?")));
  EXPECT_THAT(Refusal({"--nonsense"}), AllOf(HasSubstr("-nonsense"), HasSubstr("-help")));
  EXPECT_THAT(Refusal({"-nonsense=secret"}), ::testing::Not(HasSubstr("secret")));
}

TEST_F(FlagSetTest, AMissingValueIsSaidWithWhatItStandsFor) {
  EXPECT_THAT(Refusal({"-output"}), HasSubstr("-output PATH"));
  EXPECT_THAT(Refusal({"-force", "-wait"}), HasSubstr("-wait DURATION"));
}

TEST_F(FlagSetTest, ANumberIsAWholeOne) {
  for (const char* bad : {"", "x", "1x", "1.5", " 1", "99999999999999999999", "0x10"}) {
    EXPECT_THAT(Refusal({std::string("-parallelism=") + bad}),
                AllOf(HasSubstr("-parallelism"), HasSubstr("a whole number")))
        << bad;
  }
  ASSERT_OK(Parse({"-parallelism", "-5"}));
  EXPECT_EQ(parallelism_, -5);
}

TEST_F(FlagSetTest, ADurationHasAUnit) {
  for (const char* bad : {"5", "s", "1d", "1 s", "99999999999999h", "five seconds"}) {
    EXPECT_THAT(Refusal({"-wait", bad}), AllOf(HasSubstr("-wait"), HasSubstr("a duration"))) << bad;
  }
  ASSERT_OK(Parse({"-wait", "1h30m"}));
  EXPECT_EQ(wait_, std::chrono::minutes(90));
}

TEST_F(FlagSetTest, FlagsBehindAnArgumentAreRefusedWithTheOrder) {
  EXPECT_THAT(Refusal({"what", "-force"}),
              AllOf(HasSubstr("-force"), HasSubstr("runnel do [flags] WHAT")));
}

TEST_F(FlagSetTest, TwoDashesEndTheFlags) {
  ASSERT_OK_AND_ASSIGN(const auto rest, Parse({"-force", "--", "-output", "x"}));
  EXPECT_THAT(rest, ElementsAre("-output", "x"));
  EXPECT_EQ(output_, "here");
}

TEST_F(FlagSetTest, ADashAloneIsAnArgument) {
  ASSERT_OK_AND_ASSIGN(const auto rest, Parse({"-"}));
  EXPECT_THAT(rest, ElementsAre("-"));
}

TEST_F(FlagSetTest, AFlagThatIsNotOfferedSaysWhy) {
  const auto parsed = Parse({"-f"});
  ASSERT_FAILS(Errc::kUnsupported, parsed);
  EXPECT_EQ(parsed.error().message(), "-f: comes later");
}

TEST_F(FlagSetTest, HelpIsAskedForInFourWays) {
  for (const char* help : {"-h", "--h", "-help", "--help"}) {
    EXPECT_FAILS(Errc::kCancelled, Parse({"-force", help, "-nonsense"})) << help;
  }
}

TEST_F(FlagSetTest, HelpListsEachFlagWithItsDefaultButNotOneThatIsRefused) {
  EXPECT_EQ(flags_.Help(),
            "Usage: runnel do [flags] WHAT\n"
            "\n"
            "Does it.\n"
            "\n"
            "Flags:\n"
            "  -output PATH                where to (default here)\n"
            "  -parallelism N              how many (default 8)\n"
            "  -wait DURATION              how long (default 1500ms)\n"
            "  -force                      do it\n"
            "\n"
            "Examples:\n"
            "  runnel do it\n"
            "      does it\n");
}

}  // namespace
}  // namespace runnel::cli
