// RUNNEL_TORTURE_SEED replays one life; RUNNEL_TORTURE_ROUNDS sets how many rounds the slow test
// has. Timing is not part of the seed: what runs against what is the same, not the instant.

#include "tests/crash/torture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <string>

namespace runnel::tests {
namespace {

std::uint64_t FromEnvironment(const char* name, std::uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::stoull(value);
}

void Add(TortureCounts& total, const TortureCounts& counts) {
  total.rounds += counts.rounds;
  total.application_kills += counts.application_kills;
  total.daemon_kills += counts.daemon_kills;
  total.prefixes_proved += counts.prefixes_proved;
  total.new_chains += counts.new_chains;
  total.cuts += counts.cuts;
  total.commits += counts.commits;
}

// A few rounds each, so that the early life of a database has its turn often.
void RunLives(std::uint64_t seed, int rounds, int rounds_of_a_life) {
  TortureCounts total;
  for (; total.rounds < rounds; ++seed) {
    Torture torture(seed);
    for (int i = 0; i < rounds_of_a_life && total.rounds + i < rounds; ++i) {
      torture.Round();
      if (::testing::Test::HasFailure()) {
        FAIL() << fmt::format("seed {}, round {}: RUNNEL_TORTURE_SEED={} replays it; files in {}",
                              seed, i + 1, seed, torture.KeepFiles());
      }
    }
    Add(total, torture.counts());
  }
  fmt::print(
      "rounds={} application_kills={} daemon_kills={} cuts={} new_chains={} prefixes_proved={} "
      "commits={}\n",
      total.rounds, total.application_kills, total.daemon_kills, total.cuts, total.new_chains,
      total.prefixes_proved, total.commits);
}

TEST(TortureTest, EveryCutIsAStateThatThereWasAndTheLastOneIsTheDatabase) {
  RunLives(FromEnvironment("RUNNEL_TORTURE_SEED", 1), 12, 4);
}

TEST(TortureSlowTest, EveryCutIsAStateThatThereWasAndTheLastOneIsTheDatabase) {
  const auto now = static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch() /
                                              std::chrono::seconds(1));
  const std::uint64_t seed = FromEnvironment("RUNNEL_TORTURE_SEED", now);
  fmt::print("RUNNEL_TORTURE_SEED={}\n", seed);
  RunLives(seed, static_cast<int>(FromEnvironment("RUNNEL_TORTURE_ROUNDS", 2000)), 12);
}

}  // namespace
}  // namespace runnel::tests
