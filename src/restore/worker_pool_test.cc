#include "restore/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <semaphore>

#include "testing/result_matchers.h"

namespace runnel::restore {
namespace {

constexpr auto kNoProgress = [] {};

TEST(WorkerPoolTest, RunsAllTasksAndReportsOnTheFeedersThread) {
  const auto feeder = std::this_thread::get_id();
  int reports = 0;
  std::atomic<int> done = 0;
  WorkerPool pool(4, 1000, {}, [&] {
    EXPECT_EQ(std::this_thread::get_id(), feeder);
    ++reports;
  });
  for (int i = 0; i < 100; ++i) {
    ASSERT_OK(pool.Submit(10, [&](Scratch&) -> Result<void> {
      EXPECT_NE(std::this_thread::get_id(), feeder);
      ++done;
      return {};
    }));
  }
  ASSERT_OK(pool.Drain());
  EXPECT_EQ(done, 100);
  EXPECT_GT(reports, 0);
}

TEST(WorkerPoolTest, TasksNeverCostMoreThanTheBudget) {
  std::atomic<int> cost = 0;
  std::atomic<int> cost_max = 0;
  WorkerPool pool(4, 100, {}, kNoProgress);
  for (int i = 0; i < 200; ++i) {
    cost += 30;
    // Submit() returns once the task fits, so that what was added here is within the budget but
    // for the task that waits.
    cost_max = std::max(cost_max.load(), cost.load());
    ASSERT_OK(pool.Submit(30, [&](Scratch&) -> Result<void> {
      cost -= 30;
      return {};
    }));
  }
  ASSERT_OK(pool.Drain());
  EXPECT_LE(cost_max, 100 + 30);
}

TEST(WorkerPoolTest, ATaskDearerThanTheBudgetRunsAlone) {
  std::atomic<int> running = 0;
  WorkerPool pool(4, 100, {}, kNoProgress);
  for (int i = 0; i < 20; ++i) {
    ASSERT_OK(pool.Submit(1000, [&](Scratch&) -> Result<void> {
      EXPECT_EQ(++running, 1);
      --running;
      return {};
    }));
  }
  ASSERT_OK(pool.Drain());
}

TEST(WorkerPoolTest, AfterAFailureNothingStartsAndEveryCallFails) {
  std::counting_semaphore<> go(0);
  std::atomic<int> later = 0;
  WorkerPool pool(1, 1000, {}, kNoProgress);
  ASSERT_OK(pool.Submit(1, [&](Scratch&) -> Result<void> {
    go.acquire();
    return Fail(Errc::kCorruption, "first");
  }));
  ASSERT_OK(pool.Submit(1, [&](Scratch&) -> Result<void> {
    ++later;
    return {};
  }));
  go.release();
  EXPECT_FAILS(Errc::kCorruption, pool.Drain());
  EXPECT_FAILS(Errc::kCorruption, pool.Submit(1, [](Scratch&) { return Result<void>(); }));
  EXPECT_FAILS(Errc::kCorruption, pool.WaitUntil([] { return true; }));
  EXPECT_EQ(later, 0);
}

TEST(WorkerPoolTest, ARequestToStopWakesTheFeeder) {
  std::stop_source stop;
  WorkerPool pool(1, 1000, stop.get_token(), kNoProgress);
  ASSERT_OK(pool.Submit(1, [&](Scratch&) -> Result<void> {
    stop.request_stop();
    return {};
  }));
  EXPECT_FAILS(Errc::kCancelled, pool.WaitUntil([] { return false; }));
}

TEST(WorkerPoolTest, WaitUntilSeesWhatTasksDid) {
  std::atomic<int> done = 0;
  WorkerPool pool(2, 1000, {}, kNoProgress);
  for (int i = 0; i < 50; ++i) {
    ASSERT_OK(pool.Submit(1, [&](Scratch&) -> Result<void> {
      ++done;
      return {};
    }));
  }
  ASSERT_OK(pool.WaitUntil([&] { return done >= 20; }));
  EXPECT_GE(done, 20);
}

TEST(WorkerPoolTest, WithoutThreadsTheFeederDoesTheWork) {
  bool ran = false;
  WorkerPool pool(0, 1000, {}, kNoProgress);
  ASSERT_OK(pool.Submit(1, [&](Scratch&) -> Result<void> {
    ran = true;
    return {};
  }));
  EXPECT_TRUE(ran);
  ASSERT_OK(pool.Drain());
}

}  // namespace
}  // namespace runnel::restore
