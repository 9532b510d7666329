#include "config/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace runnel::config {
namespace {

using ::testing::HasSubstr;

class ExpandEnvironmentTest : public ::testing::Test {
 protected:
  std::string Expand(std::string_view text) {
    Diagnostics diagnostics;
    std::string out =
        ExpandEnvironment(text, {{"A", "alpha"}, {"A_B2", "beta"}, {"DOLLAR", "$A"}}, diagnostics);
    EXPECT_FALSE(diagnostics.has_errors());
    warnings_ = std::move(diagnostics).Take();
    return out;
  }
  std::vector<Diagnostic> warnings_;
};

TEST_F(ExpandEnvironmentTest, ReplacesBothForms) {
  EXPECT_EQ(Expand("x: $A, ${A_B2}${A}!"), "x: alpha, betaalpha!");
  EXPECT_EQ(Expand("$A_B2$A"), "betaalpha");
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(ExpandEnvironmentTest, DoesNotExpandWhatItPutIn) { EXPECT_EQ(Expand("$DOLLAR"), "$A"); }

TEST_F(ExpandEnvironmentTest, ReplacesInCommentsToo) {
  EXPECT_EQ(Expand("# $A $NONE\n"), "# alpha \n");
  EXPECT_TRUE(warnings_.empty()) << "nobody reads a comment";
}

TEST_F(ExpandEnvironmentTest, KnowsItsProcess) {
  EXPECT_EQ(Expand("$PID"), std::to_string(getpid()));
}

TEST_F(ExpandEnvironmentTest, WarnsOfAVariableThatIsNotSet) {
  EXPECT_EQ(Expand("a: b\n  key: '$NONE'"), "a: b\n  key: ''");
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_EQ(warnings_[0].place, (Place{2, 9}));
  EXPECT_THAT(warnings_[0].message, HasSubstr("not set"));
}

TEST_F(ExpandEnvironmentTest, EatsWhatGoEatsAndWarns) {
  EXPECT_EQ(Expand("a$1b$$c$?d${}e${f"), "abcdef");
  EXPECT_EQ(warnings_.size(), 5u);
  EXPECT_THAT(warnings_[0].message, HasSubstr("-no-expand-env"));
}

TEST_F(ExpandEnvironmentTest, ShowsNoPartOfAPasswordWithADollar) {
  Expand("password: pa$Word ${pa ss} $1rest");
  ASSERT_EQ(warnings_.size(), 3u);
  for (const Diagnostic& warning : warnings_) {
    for (const char* part : {"Word", "ss}", "1rest"}) {
      EXPECT_THAT(warning.message, ::testing::Not(HasSubstr(part)));
    }
  }
}

TEST_F(ExpandEnvironmentTest, KeepsADollarThatIsNoReference) {
  EXPECT_EQ(Expand("5$ and $/ $"), "5$ and $/ $");
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(ExpandEnvironmentTest, HasNoDefaults) {
  EXPECT_EQ(Expand("${A:-x}"), "");
  EXPECT_EQ(warnings_.size(), 1u);
}

}  // namespace
}  // namespace runnel::config
