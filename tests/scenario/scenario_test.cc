// Whatever call fails, once or from then on, and however: nothing that is not whole is ever seen in
// the replica, nothing that was reported durable is lost, and once the fault is gone the daemon
// comes back by itself.
//
// To run one call again: RUNNEL_SCENARIO_CALL=<n> scenario_test --gtest_filter='*/FileFails'

#include "scenario/scenario.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

namespace runnel::scenario {
namespace {

using testing::FileFault;
using testing::StoreFault;

using Duration = FileFault::Duration;
using Effect = FileFault::Effect;

struct Sweep {
  const char* name;
  // Makes the n-th call fail. Where there are several, one in turn, so that each call has its own.
  std::vector<std::function<void(Scenario&, std::uint64_t n)>> faults;
  std::function<std::uint64_t(const Scenario&)> calls;
};

std::uint64_t FileCalls(const Scenario& scenario) { return scenario.files.call_count(); }
std::uint64_t StoreCalls(const Scenario& scenario) { return scenario.store.call_count(); }
std::uint64_t VfsCalls(const Scenario& scenario) { return scenario.vfs.call_count(); }

std::function<void(Scenario&, std::uint64_t)> FailFile(FileFault fault) {
  return [fault](Scenario& scenario, std::uint64_t n) { scenario.files.FailAt(n, fault); };
}
std::function<void(Scenario&, std::uint64_t)> FailStore(StoreFault::Kind kind) {
  return [kind](Scenario& scenario, std::uint64_t n) { scenario.store.At(n, {.kind = kind}); };
}
std::function<void(Scenario&, std::uint64_t)> FailVfs(Duration duration) {
  return [duration](Scenario& scenario, std::uint64_t n) { scenario.vfs.FailAt(n, duration); };
}

const auto kFileFails = FailFile({});
const auto kFileTears = FailFile({.code = Errc::kNoSpace, .effect = Effect::kPartial});
const auto kFileDoesAndFails = FailFile({.effect = Effect::kWhole});
const auto kFilesFail = FailFile({.duration = Duration::kFromThenOn});
const auto kStoreFails = FailStore(StoreFault::Kind::kFail);
const auto kStoreLosesReply = FailStore(StoreFault::Kind::kLoseReply);
const auto kStoreTears = FailStore(StoreFault::Kind::kTear);
const auto kStoreDoesTwice = FailStore(StoreFault::Kind::kDuplicate);
void StoreGoesAway(Scenario& scenario, std::uint64_t n) { scenario.store.FailFrom(n); }
const auto kSqliteFails = FailVfs(Duration::kOnce);
const auto kSqliteFailsOn = FailVfs(Duration::kFromThenOn);

// From the n-th change of the disk on none succeeds; what was not synced by then is lost or torn.
void LosePower(Scenario& scenario, std::uint64_t n) {
  scenario.files.CountOnly(
      [](const testing::FileCallRecord& record) { return testing::IsMutating(record.call); });
  scenario.files.FailAt(n, {.duration = Duration::kFromThenOn});
  scenario.LosePowerAfterFailure();
}

// Every call fails, each in one of the ways that there are.
std::vector<Sweep> MixedSweeps() {
  return {
      {"File", {kFileFails, kFileTears, kFileDoesAndFails, kFilesFail}, FileCalls},
      {"Power", {LosePower}, FileCalls},
      {"Store",
       {kStoreFails, kStoreLosesReply, kStoreTears, kStoreDoesTwice, StoreGoesAway},
       StoreCalls},
      {"Sqlite", {kSqliteFails, kSqliteFailsOn}, VfsCalls},
  };
}

// Every call fails in every way.
std::vector<Sweep> FullSweeps() {
  return {
      {"FileFails", {kFileFails}, FileCalls},
      {"FileTears", {kFileTears}, FileCalls},
      {"FileDoesAndFails", {kFileDoesAndFails}, FileCalls},
      {"FilesFail", {kFilesFail}, FileCalls},
      {"Power", {LosePower}, FileCalls},
      {"StoreFails", {kStoreFails}, StoreCalls},
      {"StoreLosesReply", {kStoreLosesReply}, StoreCalls},
      {"StoreTears", {kStoreTears}, StoreCalls},
      {"StoreDoesTwice", {kStoreDoesTwice}, StoreCalls},
      {"StoreGoesAway", {StoreGoesAway}, StoreCalls},
      {"SqliteFails", {kSqliteFails}, VfsCalls},
      {"SqliteFailsOn", {kSqliteFailsOn}, VfsCalls},
  };
}

// Returns how many calls there were to choose from; n == 0: none fails.
std::uint64_t RunWithFault(const Sweep& sweep, std::uint64_t n, int commits) {
  SCOPED_TRACE(fmt::format("RUNNEL_SCENARIO_CALL={}", n));
  constexpr std::uint64_t kNever = std::uint64_t{1} << 62;
  Scenario scenario(commits);
  sweep.faults[n % sweep.faults.size()](scenario, n == 0 ? kNever : n);
  scenario.Run();
  const std::uint64_t calls = sweep.calls(scenario);
  if (!::testing::Test::HasFailure()) scenario.ExpectRecovers();
  if (::testing::Test::HasFailure()) ADD_FAILURE() << scenario.Story();
  return calls;
}

void RunSweep(const Sweep& sweep, int commits) {
  if (const char* call = std::getenv("RUNNEL_SCENARIO_CALL")) {
    RunWithFault(sweep, std::strtoull(call, nullptr, 10), commits);
    return;
  }
  const std::uint64_t calls = RunWithFault(sweep, 0, commits);
  EXPECT_GT(calls, 100U);
  for (std::uint64_t n = 1; n <= calls; ++n) {
    RunWithFault(sweep, n, commits);
    if (::testing::Test::HasFailure()) return;
  }
  fmt::print("{}: {} calls\n", sweep.name, calls);
}

std::string NameOf(const ::testing::TestParamInfo<Sweep>& info) { return info.param.name; }

class ScenarioTest : public ::testing::TestWithParam<Sweep> {};

TEST_P(ScenarioTest, ComesBackFromAFaultAtAnyCall) { RunSweep(GetParam(), 20); }

INSTANTIATE_TEST_SUITE_P(Every, ScenarioTest, ::testing::ValuesIn(MixedSweeps()), NameOf);

class ScenarioSlowTest : public ::testing::TestWithParam<Sweep> {};

TEST_P(ScenarioSlowTest, ComesBackFromEveryFaultAtAnyCall) { RunSweep(GetParam(), 20); }

INSTANTIATE_TEST_SUITE_P(Every, ScenarioSlowTest, ::testing::ValuesIn(FullSweeps()), NameOf);

class LongScenarioSlowTest : public ::testing::TestWithParam<Sweep> {};

TEST_P(LongScenarioSlowTest, ComesBackFromAFaultAtAnyCall) { RunSweep(GetParam(), 100); }

INSTANTIATE_TEST_SUITE_P(Every, LongScenarioSlowTest, ::testing::ValuesIn(MixedSweeps()), NameOf);

}  // namespace
}  // namespace runnel::scenario
