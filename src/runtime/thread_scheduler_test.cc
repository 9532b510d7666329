#include "runtime/thread_scheduler.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <latch>
#include <map>
#include <semaphore>
#include <set>
#include <string>

#include "runtime/system_clock.h"

namespace runnel::runtime {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

class FunctionJob final : public Job {
 public:
  explicit FunctionJob(std::function<std::optional<MonotonicTime>()> run) : run_(std::move(run)) {}
  std::optional<MonotonicTime> Run() override { return run_(); }

 private:
  std::function<std::optional<MonotonicTime>()> run_;
};

// A job of a body that returns nothing: it wants to be woken.
FunctionJob Woken(std::function<void()> body) {
  return FunctionJob([body = std::move(body)] {
    body();
    return std::optional<MonotonicTime>();
  });
}

class ThreadSchedulerTest : public ::testing::Test {
 protected:
  std::unique_ptr<ThreadScheduler> Start(const PoolSizes& sizes = {2, 2, 2}) {
    auto scheduler = ThreadScheduler::Start(clock_, sizes);
    EXPECT_TRUE(scheduler.has_value());
    return *std::move(scheduler);
  }

  SystemClock clock_;
};

// The wake-ups and the runs of a job, in numbers that a race would leave unequal.
TEST_F(ThreadSchedulerTest, LosesNoWakeUp) {
  constexpr int kWakers = 4;
  constexpr int kRounds = 20'000;
  const auto scheduler = Start();
  std::atomic<int> asked = 0;
  std::atomic<int> seen = 0;
  std::binary_semaphore all_seen(0);
  FunctionJob job = Woken([&] {
    seen = asked.load();
    if (seen == kWakers * kRounds) all_seen.release();
  });
  JobHandle handle = scheduler->Add(job, Pool::kCapture);
  {
    std::vector<std::jthread> wakers;
    for (int i = 0; i < kWakers; ++i) {
      wakers.emplace_back([&] {
        for (int n = 0; n < kRounds; ++n) {
          ++asked;
          handle.Wake();
        }
      });
    }
  }
  EXPECT_TRUE(all_seen.try_acquire_for(std::chrono::seconds(10)))
      << "asked " << asked << ", seen " << seen;
}

// The same, where each wake-up waits for the run that answers it: the job is idle, or just becoming
// so, whenever it is woken.
TEST_F(ThreadSchedulerTest, AnswersEachWakeUpOfAnIdleJob) {
  constexpr int kRounds = 20'000;
  const auto scheduler = Start();
  std::counting_semaphore<> ran(0);
  FunctionJob job = Woken([&] { ran.release(); });
  JobHandle handle = scheduler->Add(job, Pool::kCapture);
  for (int i = 0; i < kRounds; ++i) {
    handle.Wake();
    ASSERT_TRUE(ran.try_acquire_for(std::chrono::seconds(10))) << "round " << i;
  }
}

TEST_F(ThreadSchedulerTest, NeverRunsAJobTwiceAtOnce) {
  constexpr int kRuns = 5'000;
  const auto scheduler = Start({4, 1, 1});
  std::atomic<int> inside = 0;
  std::atomic<int> overlaps = 0;
  int runs = 0;  // no lock: that is the promise, and TSan watches
  std::latch done(1);
  FunctionJob job([&]() -> std::optional<MonotonicTime> {
    if (++inside != 1) ++overlaps;
    if (++runs == kRuns) done.count_down();
    --inside;
    if (runs >= kRuns) return std::nullopt;
    return MonotonicTime::min();
  });
  JobHandle handle = scheduler->Add(job, Pool::kCapture);
  std::atomic<bool> stop = false;
  {
    std::vector<std::jthread> wakers;
    for (int i = 0; i < 2; ++i) {
      wakers.emplace_back([&] {
        while (!stop) {
          handle.Wake();
          handle.WakeAt(clock_.MonotonicNow());
        }
      });
    }
    done.wait();
    stop = true;
  }
  handle.Stop();
  EXPECT_EQ(overlaps, 0);
}

TEST_F(ThreadSchedulerTest, StopWaitsForTheRunThatIsGoingOn) {
  const auto scheduler = Start();
  std::binary_semaphore started(0), go_on(0);
  std::atomic<bool> ended = false;
  FunctionJob job = Woken([&] {
    started.release();
    go_on.acquire();
    ended = true;
  });
  JobHandle handle = scheduler->Add(job, Pool::kBulk);
  handle.Wake();
  started.acquire();
  std::atomic<bool> stopped = false;
  std::jthread stopper([&] {
    handle.Stop();
    EXPECT_TRUE(ended);
    stopped = true;
  });
  std::jthread second_stopper([&] { handle.Stop(); });
  EXPECT_FALSE(stopped);
  go_on.release();
}

TEST_F(ThreadSchedulerTest, NothingRunsAfterStop) {
  const auto scheduler = Start({4, 1, 1});
  for (int round = 0; round < 500; ++round) {
    auto alive = std::make_unique<std::atomic<int>>(0);
    FunctionJob job([&]() -> std::optional<MonotonicTime> {
      ++*alive;  // a use after free, if it runs once more
      return MonotonicTime::min();
    });
    JobHandle handle = scheduler->Add(job, Pool::kCapture);
    std::jthread waker([&] {
      for (int i = 0; i < 50; ++i) handle.Wake();
    });
    handle.WakeAt(clock_.MonotonicNow());
    handle.Stop();
    handle.Wake();
    handle.WakeAt(MonotonicTime::min());
    alive.reset();
  }
}

TEST_F(ThreadSchedulerTest, RunsInTheOrderOfDeadlinesNotOfCalls) {
  const auto scheduler = Start({1, 1, 1});
  std::string order;
  std::latch done(3);
  std::deque<FunctionJob> jobs;
  std::vector<JobHandle> handles;
  for (const char name : {'a', 'b', 'c'}) {
    jobs.push_back(Woken([&order, &done, name] {
      order += name;
      done.count_down();
    }));
    handles.push_back(scheduler->Add(jobs.back(), Pool::kCapture));
  }
  const MonotonicTime now = clock_.MonotonicNow();
  handles[0].WakeAt(now + milliseconds(30));
  handles[2].WakeAt(now + milliseconds(20));
  handles[1].WakeAt(now + milliseconds(10));
  handles[1].WakeAt(now + hours(1));  // later than what is pending: ignored
  done.wait();
  EXPECT_GE(clock_.MonotonicNow() - now, milliseconds(30));
  EXPECT_EQ(order, "bca");
}

TEST_F(ThreadSchedulerTest, AnEarlierDeadlineOvertakesTheOneThatIsWaitedFor) {
  const auto scheduler = Start();
  std::binary_semaphore ran(0);
  FunctionJob slow = Woken([] {}), fast = Woken([&] { ran.release(); });
  JobHandle slow_handle = scheduler->Add(slow, Pool::kCapture);
  JobHandle fast_handle = scheduler->Add(fast, Pool::kCapture);
  slow_handle.WakeAt(clock_.MonotonicNow() + hours(1));
  for (int i = 0; i < 50; ++i) {
    fast_handle.WakeAt(clock_.MonotonicNow() + milliseconds(1));
    ASSERT_TRUE(ran.try_acquire_for(std::chrono::seconds(10)));
  }
}

TEST_F(ThreadSchedulerTest, RunsAgainAtTheTimeThatARunReturned) {
  const auto scheduler = Start();
  std::vector<MonotonicTime> runs;
  std::latch done(1);
  FunctionJob job([&]() -> std::optional<MonotonicTime> {
    runs.push_back(clock_.MonotonicNow());
    if (runs.size() < 4) return runs.back() + milliseconds(5);
    done.count_down();
    return std::nullopt;
  });
  JobHandle handle = scheduler->Add(job, Pool::kTransfer);
  handle.Wake();
  done.wait();
  handle.Stop();
  ASSERT_EQ(runs.size(), 4u);
  for (std::size_t i = 1; i < runs.size(); ++i) EXPECT_GE(runs[i] - runs[i - 1], milliseconds(5));
}

TEST_F(ThreadSchedulerTest, ARunTakesBackTheTimesBeforeIt) {
  const auto scheduler = Start({1, 1, 1});
  std::atomic<int> runs = 0;
  std::binary_semaphore ran(0);
  FunctionJob job = Woken([&] {
    ++runs;
    ran.release();
  });
  JobHandle handle = scheduler->Add(job, Pool::kCapture);
  const MonotonicTime later = clock_.MonotonicNow() + milliseconds(20);
  handle.WakeAt(later);
  handle.Wake();
  ran.acquire();
  // A second job, due after the time that was taken back.
  std::binary_semaphore passed(0);
  FunctionJob marker = Woken([&] { passed.release(); });
  JobHandle marker_handle = scheduler->Add(marker, Pool::kCapture);
  marker_handle.WakeAt(later + milliseconds(5));
  passed.acquire();
  EXPECT_EQ(runs, 1);
}

TEST_F(ThreadSchedulerTest, ABusyJobLetsTheOthersHaveTheirTurn) {
  const auto scheduler = Start({1, 1, 1});
  std::atomic<bool> others_ran = false;
  std::atomic<int> busy_runs = 0;
  std::binary_semaphore busy_started(0), go_on(0), done(0);
  FunctionJob busy([&]() -> std::optional<MonotonicTime> {
    if (++busy_runs == 1) {
      busy_started.release();
      go_on.acquire();
    }
    if (others_ran) {
      done.release();
      return std::nullopt;
    }
    return clock_.MonotonicNow();
  });
  FunctionJob other = Woken([&] { others_ran = true; });
  JobHandle busy_handle = scheduler->Add(busy, Pool::kCapture);
  JobHandle other_handle = scheduler->Add(other, Pool::kCapture);
  busy_handle.Wake();
  busy_started.acquire();
  other_handle.Wake();
  go_on.release();
  ASSERT_TRUE(done.try_acquire_for(std::chrono::seconds(10)));
  busy_handle.Stop();
  EXPECT_EQ(busy_runs, 2);
}

TEST_F(ThreadSchedulerTest, APoolThatIsBlockedDelaysNoOtherPool) {
  const auto scheduler = Start({1, 1, 1});
  std::binary_semaphore go_on(0), ran(0);
  FunctionJob blocked = Woken([&] { go_on.acquire(); }), free = Woken([&] { ran.release(); });
  JobHandle blocked_handle = scheduler->Add(blocked, Pool::kTransfer);
  JobHandle free_handle = scheduler->Add(free, Pool::kCapture);
  blocked_handle.Wake();
  free_handle.Wake();
  EXPECT_TRUE(ran.try_acquire_for(std::chrono::seconds(10)));
  go_on.release();
}

TEST_F(ThreadSchedulerTest, IsDestroyedWhileJobsWaitForFarDeadlines) {
  FunctionJob job = Woken([] { ADD_FAILURE() << "nothing was due"; });
  auto scheduler = Start();
  JobHandle soon = scheduler->Add(job, Pool::kCapture);
  JobHandle never = scheduler->Add(job, Pool::kBulk);
  soon.WakeAt(clock_.MonotonicNow() + hours(1));
  never.WakeAt(MonotonicTime::max());
  soon = JobHandle();
  never = JobHandle();
  scheduler.reset();
}

TEST_F(ThreadSchedulerTest, AnIdleJobTakesLessThan200Bytes) {
  constexpr std::size_t kJobs = 10'000;
  const auto scheduler = Start();
  FunctionJob job = Woken([] {});
  std::vector<JobHandle> handles;
  handles.reserve(kJobs);
  const std::size_t before = mallinfo2().uordblks;
  if (before == 0) GTEST_SKIP() << "the allocator of a sanitizer does not count";
  const MonotonicTime far = clock_.MonotonicNow() + hours(1);
  for (std::size_t i = 0; i < kJobs; ++i) {
    handles.push_back(scheduler->Add(job, Pool::kCapture));
    handles.back().WakeAt(far);
  }
  const std::size_t bytes = (mallinfo2().uordblks - before) / kJobs + sizeof(JobHandle);
  RecordProperty("bytes_per_idle_job", static_cast<int>(bytes));
  EXPECT_LT(bytes, 200u);
  EXPECT_GT(bytes, 50u);
}

// How often the threads of this name have gone to sleep, by thread id. Empty if one is awake.
std::map<std::string, std::uint64_t> SleepsOfThreads(const std::set<std::string>& names) {
  std::map<std::string, std::uint64_t> sleeps;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(task.path() / "status");
    std::map<std::string, std::string> fields;
    for (std::string line; std::getline(file, line);) {
      const std::size_t colon = line.find(":\t");
      if (colon != std::string::npos) fields[line.substr(0, colon)] = line.substr(colon + 2);
    }
    if (!names.contains(fields["Name"])) continue;
    if (!fields["State"].starts_with("S")) return {};
    sleeps[task.path().filename()] = std::stoull(fields["voluntary_ctxt_switches"]);
  }
  return sleeps;
}

TEST_F(ThreadSchedulerTest, NoThreadWakesWhileNothingIsDue) {
  const std::set<std::string> names = {"timer", "capture", "transfer", "bulk"};
  const auto scheduler = Start({2, 2, 2});
  FunctionJob job = Woken([] {});
  std::vector<JobHandle> handles;
  for (int i = 0; i < 1'000; ++i) {
    handles.push_back(scheduler->Add(job, Pool::kCapture));
    handles.back().WakeAt(clock_.MonotonicNow() + hours(1) - milliseconds(i));
  }
  std::map<std::string, std::uint64_t> before;
  for (int i = 0; i < 1'000 && before.size() < 7; ++i) {
    clock_.Sleep(milliseconds(5));
    before = SleepsOfThreads(names);
  }
  ASSERT_EQ(before.size(), 7u);
  clock_.Sleep(milliseconds(100));
  EXPECT_EQ(SleepsOfThreads(names), before);
}

using ThreadSchedulerDeathTest = ThreadSchedulerTest;

TEST_F(ThreadSchedulerDeathTest, AJobThatStopsItselfIsABug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        const auto scheduler = Start();
        JobHandle handle;
        std::binary_semaphore never(0);
        FunctionJob job = Woken([&] { handle.Stop(); });
        handle = scheduler->Add(job, Pool::kCapture);
        handle.Wake();
        never.acquire();
      },
      "runner_");
}

}  // namespace
}  // namespace runnel::runtime
