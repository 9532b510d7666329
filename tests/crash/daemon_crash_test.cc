// Whatever is killed and whenever: the copy is a prefix of what was committed and holds all that
// was reported durable (crash_world.h).
//
// To run one world again: RUNNEL_CRASH_SEED=<seed> daemon_crash_test
// --gtest_filter='DaemonCrashSlowTest.*'

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "crash/crash_world.h"

namespace runnel::crash {
namespace {

constexpr int kRounds = 12;
constexpr std::uint64_t kFastWorlds = 9;

#ifdef RUNNEL_SANITIZED
constexpr std::uint64_t kSlowWorlds = 80;
#else
constexpr std::uint64_t kSlowWorlds = 300;
#endif

void RunWorld(std::uint64_t seed) {
  SCOPED_TRACE(fmt::format("RUNNEL_CRASH_SEED={}", seed));
  CrashWorld world(seed);
  for (int round = 0; round < kRounds && !::testing::Test::HasFailure(); ++round) world.Round();
  if (!::testing::Test::HasFailure()) world.Finish();
  const Counts& counts = world.counts();
  fmt::print(
      "seed={} rounds={} daemon_kills={} writer_kills={} daemon_stops={} settlements={} "
      "restores={} commits={}\n",
      seed, counts.rounds, counts.daemon_kills, counts.writer_kills, counts.daemon_stops,
      counts.settlements, counts.restores, counts.commits);
  std::fflush(stdout);
  if (::testing::Test::HasFailure()) ADD_FAILURE() << world.Autopsy();
}

class DaemonCrashTest : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(DaemonCrashTest, TheCopyIsAPrefixThatHoldsWhatIsDurable) { RunWorld(GetParam()); }

INSTANTIATE_TEST_SUITE_P(World, DaemonCrashTest,
                         ::testing::Range<std::uint64_t>(1, 1 + kFastWorlds));

TEST(DaemonCrashSlowTest, TheCopyIsAPrefixThatHoldsWhatIsDurable) {
  if (const char* seed = std::getenv("RUNNEL_CRASH_SEED")) {
    RunWorld(std::strtoull(seed, nullptr, 10));
    return;
  }
  for (std::uint64_t seed = 1001; seed <= 1000 + kSlowWorlds; ++seed) {
    RunWorld(seed);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace runnel::crash
