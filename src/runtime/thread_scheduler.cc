#include "runtime/thread_scheduler.h"

#include <pthread.h>

#include <algorithm>
#include <string>
#include <system_error>

#include "base/check.h"
#include "runtime/signals.h"

namespace runnel::runtime {

// A job is in at most one of three places: the ready queue, a worker, or the heap of deadlines;
// while it runs, it may be in the heap too.
class ThreadScheduler::Slot final : public JobControl, public TimerHeap::Node {
 public:
  Slot(ThreadScheduler& scheduler, Job& job, Pool pool)
      : scheduler_(scheduler), job_(job), pool_(pool) {}
  ~Slot() override { Stop(); }

  void Wake() override {
    const MutexLock lock(scheduler_.mutex_);
    scheduler_.MakeReadyAndNotify(*this);
  }

  void WakeAt(MonotonicTime time) override {
    const MutexLock lock(scheduler_.mutex_);
    scheduler_.WakeAtLocked(*this, time);
  }

  void Stop() override {
    const MutexLock lock(scheduler_.mutex_);
    if (state_ == State::kStopped) return;
    // Waiting for the end of the very run that calls would never end.
    RUNNEL_CHECK(runner_ != std::this_thread::get_id());
    stopping_ = true;
    scheduler_.timers_.Disarm(*this);
    if (state_ == State::kReady) {
      scheduler_.RemoveReady(*this);
      state_ = State::kIdle;
    }
    while (state_ == State::kRunning) scheduler_.run_ended_.Wait(scheduler_.mutex_);
    if (state_ == State::kStopped) return;  // another caller's Stop() was first
    state_ = State::kStopped;
    --scheduler_.job_count_;
  }

 private:
  friend class ThreadScheduler;

  enum class State : std::uint8_t { kIdle, kReady, kRunning, kStopped };

  // Constant.
  ThreadScheduler& scheduler_;
  Job& job_;
  const Pool pool_;

  // Guarded by scheduler_.mutex_.
  State state_ = State::kIdle;
  bool woken_while_running_ = false;
  bool stopping_ = false;
  std::thread::id runner_;
  Slot* previous_ready_ = nullptr;
  Slot* next_ready_ = nullptr;
};

Result<std::unique_ptr<ThreadScheduler>> ThreadScheduler::Start(Clock& clock,
                                                                const PoolSizes& sizes) {
  std::unique_ptr<ThreadScheduler> scheduler(new ThreadScheduler(clock));
  RUNNEL_TRY_VOID(scheduler->StartThreads(sizes));
  return scheduler;
}

Result<void> ThreadScheduler::StartThreads(const PoolSizes& sizes) {
  const SignalsBlocked blocked;  // the new threads inherit the mask
  const auto start = [this](const char* name, auto body) {
    threads_.emplace_back(std::move(body));
    pthread_setname_np(threads_.back().native_handle(), name);
  };
  const std::array<std::pair<const char*, int>, kPoolCount> pools = {
      {{"capture", sizes.capture}, {"transfer", sizes.transfer}, {"bulk", sizes.bulk}}};
  try {
    start("timer", [this] { RunTimer(); });
    for (std::size_t i = 0; i < pools.size(); ++i) {
      RUNNEL_CHECK(pools[i].second > 0);
      for (int n = 0; n < pools[i].second; ++n) {
        start(pools[i].first, [this, i] { RunWorker(queues_[i]); });
      }
    }
  } catch (const std::system_error& error) {
    return Fail(Errc::kUnavailable, std::string("starting threads (limit on processes or memory, "
                                                "see ulimit -u): ") +
                                        error.what());
  }
  return {};
}

ThreadScheduler::~ThreadScheduler() {
  {
    const MutexLock lock(mutex_);
    RUNNEL_CHECK(job_count_ == 0);
    state_ = State::kEnding;
    earlier_deadline_.NotifyAll();
    for (ReadyQueue& queue : queues_) queue.not_empty.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

JobHandle ThreadScheduler::Add(Job& job, Pool pool) {
  auto slot = std::make_unique<Slot>(*this, job, pool);
  const MutexLock lock(mutex_);
  ++job_count_;
  return JobHandle(std::move(slot));
}

ThreadScheduler::ReadyQueue& ThreadScheduler::queue(const Slot& slot) {
  return queues_[static_cast<std::size_t>(slot.pool_)];
}

bool ThreadScheduler::MakeReady(Slot& slot) {
  if (slot.stopping_) return false;
  if (slot.state_ == Slot::State::kRunning) slot.woken_while_running_ = true;
  if (slot.state_ != Slot::State::kIdle) return false;
  timers_.Disarm(slot);
  slot.state_ = Slot::State::kReady;
  ReadyQueue& ready = queue(slot);
  slot.previous_ready_ = ready.last;
  slot.next_ready_ = nullptr;
  (ready.last != nullptr ? ready.last->next_ready_ : ready.first) = &slot;
  ready.last = &slot;
  return true;
}

void ThreadScheduler::MakeReadyAndNotify(Slot& slot) {
  if (MakeReady(slot)) queue(slot).not_empty.NotifyOne();
}

void ThreadScheduler::RemoveReady(Slot& slot) {
  ReadyQueue& ready = queue(slot);
  (slot.previous_ready_ != nullptr ? slot.previous_ready_->next_ready_ : ready.first) =
      slot.next_ready_;
  (slot.next_ready_ != nullptr ? slot.next_ready_->previous_ready_ : ready.last) =
      slot.previous_ready_;
}

void ThreadScheduler::WakeAtLocked(Slot& slot, MonotonicTime time) {
  // A ready job runs before any deadline that could be set now.
  if (slot.stopping_ || slot.state_ == Slot::State::kReady) return;
  if (slot.armed() && slot.deadline() <= time) return;
  timers_.Arm(slot, time);
  if (time < timer_waits_until_) earlier_deadline_.NotifyOne();
}

void ThreadScheduler::RunWorker(ReadyQueue& ready) {
  const MutexLock lock(mutex_);
  for (;;) {
    while (ready.first == nullptr && state_ != State::kEnding) ready.not_empty.Wait(mutex_);
    if (ready.first == nullptr) return;
    Slot& slot = *ready.first;
    RemoveReady(slot);
    RunOne(slot);
  }
}

void ThreadScheduler::RunOne(Slot& slot) {
  slot.state_ = Slot::State::kRunning;
  slot.runner_ = std::this_thread::get_id();
  mutex_.unlock();
  const std::optional<MonotonicTime> next = slot.job_.Run();
  mutex_.lock();
  slot.runner_ = {};
  slot.state_ = Slot::State::kIdle;
  const bool wake = std::exchange(slot.woken_while_running_, false);
  if (slot.stopping_) {
    run_ended_.NotifyAll();  // as soon as the lock is released, the slot may be gone
  } else if (wake || (next && *next <= clock_.MonotonicNow())) {
    // This thread goes on with the queue at once, so that no other needs to be told: whatever else
    // is in the queue has had its own notification.
    MakeReady(slot);
  } else if (next) {
    WakeAtLocked(slot, *next);
  }
}

void ThreadScheduler::RunTimer() {
  // Far ahead is not waited for in one go: the sum with the present time must not overflow.
  constexpr std::chrono::nanoseconds kLongestWait = std::chrono::hours(1000);
  const MutexLock lock(mutex_);
  while (state_ != State::kEnding) {
    const TimerHeap::Node* earliest = timers_.Earliest();
    if (earliest == nullptr) {
      timer_waits_until_ = MonotonicTime::max();
      earlier_deadline_.Wait(mutex_);
      continue;
    }
    const MonotonicTime now = clock_.MonotonicNow();
    if (earliest->deadline() > now) {
      timer_waits_until_ = earliest->deadline();
      earlier_deadline_.WaitFor(mutex_, std::min(earliest->deadline() - now, kLongestWait));
      continue;
    }
    Slot& slot = static_cast<Slot&>(*timers_.Earliest());
    timers_.Disarm(slot);
    MakeReadyAndNotify(slot);
  }
}

}  // namespace runnel::runtime
