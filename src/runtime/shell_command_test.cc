#include "runtime/shell_command.h"

#include <gtest/gtest.h>

#include "testing/result_matchers.h"

namespace runnel::runtime {
namespace {

TEST(ShellCommandTest, GivesBackWhatACommandWrites) {
  ASSERT_OK_AND_ASSIGN(const std::string output, RunShellCommand("echo 'a b'; printf c"));
  EXPECT_EQ(output, "a b\nc");
}

TEST(ShellCommandTest, ACommandThatFailsIsAnError) {
  EXPECT_FAILS(Errc::kUnavailable, RunShellCommand("echo x; exit 3"));
  EXPECT_FAILS(Errc::kUnavailable, RunShellCommand("no-such-command 2>/dev/null"));
}

TEST(ShellCommandTest, TakesNoFlood) {
  EXPECT_FAILS(Errc::kCorruption, RunShellCommand("head -c 100000 /dev/zero"));
}

}  // namespace
}  // namespace runnel::runtime
