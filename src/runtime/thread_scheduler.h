// The scheduler of the daemon: a fixed number of worker threads for each pool, and one thread that
// waits for the earliest deadline.

#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "runtime/scheduler.h"
#include "runtime/timer_heap.h"

namespace runnel::runtime {

// Threads of each pool, at least one.
struct PoolSizes {
  int capture = 2;
  int transfer = 16;  // they wait on the network
  int bulk = 2;
};

class ThreadScheduler final : public Scheduler {
 public:
  // Starts all threads at once, so that a limit on threads is met here and not in the middle of a
  // job. They take no signals. `clock` outlives the scheduler, and its monotonic time goes on at
  // the pace of real time: the threads wait for real.
  static Result<std::unique_ptr<ThreadScheduler>> Start(Clock& clock, const PoolSizes& sizes);

  // All handles are gone by now (CHECKed), so that no job is left; joins the threads.
  ~ThreadScheduler() override;
  ThreadScheduler(const ThreadScheduler&) = delete;
  ThreadScheduler& operator=(const ThreadScheduler&) = delete;

  // Jobs run on threads without exceptions to spare: one that escapes Run() ends the process.
  [[nodiscard]] JobHandle Add(Job& job, Pool pool) override;

 private:
  class Slot;

  // Jobs that are woken or due, in the order in which they became so: a list through the slots.
  struct ReadyQueue {
    Slot* first = nullptr;
    Slot* last = nullptr;
    CondVar not_empty;
  };

  explicit ThreadScheduler(Clock& clock) : clock_(clock) {}
  Result<void> StartThreads(const PoolSizes& sizes);

  // False if it is ready already, or need not be.
  bool MakeReady(Slot& slot) RUNNEL_REQUIRES(mutex_);
  void MakeReadyAndNotify(Slot& slot) RUNNEL_REQUIRES(mutex_);
  void RemoveReady(Slot& slot) RUNNEL_REQUIRES(mutex_);
  void WakeAtLocked(Slot& slot, MonotonicTime time) RUNNEL_REQUIRES(mutex_);

  ReadyQueue& queue(const Slot& slot);
  void RunWorker(ReadyQueue& queue);
  void RunOne(Slot& slot) RUNNEL_REQUIRES(mutex_);  // released during the run
  void RunTimer();

  Clock& clock_;

  // Guards the queues and the state of every slot too, which the annotations cannot say. Held for a
  // few dozen instructions at a time, never during a run.
  Mutex mutex_;
  std::array<ReadyQueue, kPoolCount> queues_;
  TimerHeap timers_ RUNNEL_GUARDED_BY(mutex_);
  CondVar earlier_deadline_;
  // What the timer thread waits for; it is disturbed only for something earlier.
  MonotonicTime timer_waits_until_ RUNNEL_GUARDED_BY(mutex_) = MonotonicTime::min();
  CondVar run_ended_;  // of a job that somebody waits to stop
  std::size_t job_count_ RUNNEL_GUARDED_BY(mutex_) = 0;
  enum class State { kRunning, kEnding };
  State state_ RUNNEL_GUARDED_BY(mutex_) = State::kRunning;

  std::vector<std::thread> threads_;
};

}  // namespace runnel::runtime
