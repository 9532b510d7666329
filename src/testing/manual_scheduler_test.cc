#include "testing/manual_scheduler.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>

namespace runnel::testing {
namespace {

using runtime::JobHandle;
using runtime::Pool;
using std::chrono::milliseconds;
using std::chrono::seconds;

class FunctionJob final : public runtime::Job {
 public:
  explicit FunctionJob(std::function<std::optional<MonotonicTime>()> run) : run_(std::move(run)) {}
  std::optional<MonotonicTime> Run() override { return run_(); }

 private:
  std::function<std::optional<MonotonicTime>()> run_;
};

class ManualSchedulerTest : public ::testing::Test {
 protected:
  // A job that writes its name down.
  FunctionJob Named(char name) {
    return FunctionJob([this, name] {
      trace_ += name;
      return std::optional<MonotonicTime>();
    });
  }

  ManualClock clock_;
  ManualScheduler scheduler_{clock_};
  std::string trace_;
};

TEST_F(ManualSchedulerTest, RunsNothingThatNobodyWoke) {
  FunctionJob a = Named('a');
  const JobHandle handle = scheduler_.Add(a, Pool::kCapture);
  EXPECT_EQ(scheduler_.RunReady(), 0u);
  EXPECT_EQ(scheduler_.next_deadline(), std::nullopt);
}

TEST_F(ManualSchedulerTest, RunsInTheOrderOfWaking) {
  FunctionJob a = Named('a'), b = Named('b'), c = Named('c');
  JobHandle ha = scheduler_.Add(a, Pool::kCapture), hb = scheduler_.Add(b, Pool::kBulk),
            hc = scheduler_.Add(c, Pool::kCapture);
  hc.Wake();
  ha.Wake();
  hb.Wake();
  hc.Wake();
  EXPECT_EQ(scheduler_.RunReady(), 3u);
  EXPECT_EQ(trace_, "cab");
}

TEST_F(ManualSchedulerTest, StopsAtEachDeadlineOnTheWay) {
  const MonotonicTime start = clock_.MonotonicNow();
  std::vector<milliseconds> times;
  FunctionJob job([&]() -> std::optional<MonotonicTime> {
    times.push_back(std::chrono::duration_cast<milliseconds>(clock_.MonotonicNow() - start));
    return clock_.MonotonicNow() + milliseconds(300);
  });
  JobHandle handle = scheduler_.Add(job, Pool::kCapture);
  handle.WakeAt(start + milliseconds(100));
  scheduler_.Advance(seconds(1));
  EXPECT_EQ(times, (std::vector{milliseconds(100), milliseconds(400), milliseconds(700),
                                milliseconds(1000)}));
  EXPECT_EQ(clock_.MonotonicNow(), start + seconds(1));
}

TEST_F(ManualSchedulerTest, RunsTheDueInTheOrderOfTheirDeadlines) {
  const MonotonicTime start = clock_.MonotonicNow();
  FunctionJob a = Named('a'), b = Named('b');
  JobHandle ha = scheduler_.Add(a, Pool::kCapture), hb = scheduler_.Add(b, Pool::kCapture);
  ha.WakeAt(start + seconds(2));
  hb.WakeAt(start + seconds(1));
  clock_.Advance(seconds(5));
  scheduler_.RunReady();
  EXPECT_EQ(trace_, "ba");
}

TEST_F(ManualSchedulerTest, KeepsTheEarlierOfTwoTimes) {
  const MonotonicTime start = clock_.MonotonicNow();
  FunctionJob a = Named('a');
  JobHandle handle = scheduler_.Add(a, Pool::kCapture);
  handle.WakeAt(start + seconds(1));
  handle.WakeAt(start + seconds(3));
  EXPECT_EQ(scheduler_.next_deadline(), start + seconds(1));
  EXPECT_EQ(scheduler_.RunUntilIdle(start + seconds(10)), 1u);
  EXPECT_EQ(clock_.MonotonicNow(), start + seconds(1));
}

TEST_F(ManualSchedulerTest, ARunTakesBackEarlierWakeUps) {
  FunctionJob a = Named('a');
  JobHandle handle = scheduler_.Add(a, Pool::kCapture);
  handle.WakeAt(clock_.MonotonicNow() + seconds(1));
  handle.Wake();
  scheduler_.Advance(seconds(5));
  EXPECT_EQ(trace_, "a");
}

TEST_F(ManualSchedulerTest, AWakeUpDuringARunCausesAnother) {
  JobHandle handle;
  int runs = 0;
  FunctionJob job([&] {
    if (++runs == 1) handle.Wake();
    return std::optional<MonotonicTime>();
  });
  handle = scheduler_.Add(job, Pool::kCapture);
  handle.Wake();
  EXPECT_EQ(scheduler_.RunReady(), 2u);
}

TEST_F(ManualSchedulerTest, AStoppedJobDoesNotRun) {
  FunctionJob a = Named('a');
  JobHandle handle = scheduler_.Add(a, Pool::kCapture);
  handle.Wake();
  handle.Stop();
  handle.Wake();
  EXPECT_EQ(scheduler_.RunReady(), 0u);
  EXPECT_EQ(scheduler_.job_count(), 0u);
}

TEST_F(ManualSchedulerTest, ASeedDecidesTheOrderAndRepeatsIt) {
  const auto order = [](std::uint64_t seed) {
    ManualClock clock;
    ManualScheduler scheduler(clock, seed);
    std::string trace;
    std::vector<FunctionJob> jobs;
    std::vector<JobHandle> handles;
    for (const char name : std::string("abcdef")) {
      jobs.emplace_back([&trace, name] {
        trace += name;
        return std::optional<MonotonicTime>();
      });
    }
    for (FunctionJob& job : jobs) {
      handles.push_back(scheduler.Add(job, Pool::kCapture));
      handles.back().Wake();
    }
    scheduler.RunReady();
    return trace;
  };
  std::set<std::string> orders;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    EXPECT_EQ(order(seed), order(seed)) << "seed " << seed;
    orders.insert(order(seed));
  }
  EXPECT_GT(orders.size(), 15u);
}

TEST_F(ManualSchedulerTest, SleepingMovesBothClocksAndAJumpOnlyTheWallClock) {
  const MonotonicTime start = clock_.MonotonicNow();
  const WallTime wall = clock_.Now();
  clock_.Sleep(seconds(2));
  EXPECT_EQ(clock_.MonotonicNow() - start, seconds(2));
  EXPECT_EQ(clock_.Now() - wall, seconds(2));
  clock_.SetWallTime(wall - std::chrono::hours(1));
  EXPECT_EQ(clock_.MonotonicNow() - start, seconds(2));
  EXPECT_EQ(clock_.Now(), wall - std::chrono::hours(1));
}

}  // namespace
}  // namespace runnel::testing
