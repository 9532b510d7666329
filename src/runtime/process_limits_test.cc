#include "runtime/process_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>

#include "runtime/system_clock.h"
#include "runtime/system_random.h"

namespace runnel::runtime {
namespace {

using ::testing::HasSubstr;

TEST(ProcessLimitsTest, RaisesTheSoftLimitToTheHardOne) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = 64;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const auto limit = RaiseDescriptorLimit();
  ASSERT_TRUE(limit.has_value());
  EXPECT_EQ(limit->at_start, 64u);
  EXPECT_EQ(limit->now, before.rlim_max);
  rlimit after{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, before.rlim_max);
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST(ProcessLimitsTest, RefusesTooFewDescriptorsNamingTheNumber) {
  EXPECT_TRUE(RequireDescriptors(40'100, 40'100).has_value());
  const auto refused = RequireDescriptors(1024, 40'100);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), Errc::kInvalidArgument);
  EXPECT_THAT(refused.error().message(), HasSubstr("40100"));
  EXPECT_THAT(refused.error().message(), HasSubstr("1024"));
}

TEST(ProcessLimitsTest, ReadsTheLimitOfInotifyWatches) {
  const auto limit = InotifyWatchLimit();
  ASSERT_TRUE(limit.has_value()) << limit.error().message();
  EXPECT_GT(*limit, 0u);
}

TEST(ProcessLimitsTest, AWatchLimitThatIsNoNumberIsAnError) {
  EXPECT_EQ(InotifyWatchLimit("/proc/self/comm").error().code(), Errc::kCorruption);
  EXPECT_EQ(InotifyWatchLimit("/proc/none").error().code(), Errc::kNotFound);
}

TEST(SystemClockTest, GoesOnAndKeepsToTheWallClock) {
  SystemClock clock;
  const MonotonicTime before = clock.MonotonicNow();
  clock.Sleep(std::chrono::milliseconds(2));
  EXPECT_GE(clock.MonotonicNow() - before, std::chrono::milliseconds(2));
  const auto wall = std::chrono::system_clock::now();
  EXPECT_LT(clock.Now() - wall, std::chrono::seconds(10));
  EXPECT_GT(clock.Now() - wall, -std::chrono::seconds(10));
}

TEST(SystemRandomTest, DoesNotRepeatItself) {
  SystemRandom random;
  EXPECT_NE(random.NextU64(), random.NextU64());
}

}  // namespace
}  // namespace runnel::runtime
