#include "restore/worker_pool.h"

#include <system_error>
#include <utility>

#include "runtime/signals.h"

namespace runnel::restore {

WorkerPool::WorkerPool(int threads, std::size_t budget_bytes, std::stop_token stop,
                       std::function<void()> on_progress)
    : budget_bytes_(budget_bytes),
      on_progress_(std::move(on_progress)),
      on_stop_(std::move(stop), [this] {
        const std::lock_guard lock(mutex_);
        if (!failure_) failure_ = Error(Errc::kCancelled, "cancelled");
        for_feeder_.notify_all();
        for_threads_.notify_all();
      }) {
  const runtime::SignalsBlocked blocked;  // the threads inherit it
  for (int i = 0; i < threads; ++i) {
    try {
      threads_.emplace_back([this] { RunThread(); });
    } catch (const std::system_error&) {
      break;  // rule (4)
    }
  }
}

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    for_threads_.notify_all();
  }
  threads_.clear();
}

Result<void> WorkerPool::Submit(std::size_t cost_bytes, Task task) {
  std::unique_lock lock(mutex_);
  RUNNEL_TRY_VOID(
      Wait(lock, [&] { return unfinished_ == 0 || cost_bytes + cost_bytes_ <= budget_bytes_; }));
  queue_.push_back({cost_bytes, std::move(task)});
  cost_bytes_ += cost_bytes;
  ++unfinished_;
  if (threads_.empty()) {
    RunTask(lock, feeder_scratch_);
  } else {
    for_threads_.notify_one();
  }
  return {};
}

Result<void> WorkerPool::WaitUntil(const std::function<bool()>& ready) {
  std::unique_lock lock(mutex_);
  return Wait(lock, ready);
}

Result<void> WorkerPool::Drain() {
  return WaitUntil([this] { return unfinished_ == 0; });
}

Result<void> WorkerPool::Wait(std::unique_lock<std::mutex>& lock,
                              const std::function<bool()>& ready) {
  std::uint64_t seen = finished_;
  while (true) {
    if (failure_) return Fail(*failure_);
    const bool done = ready();
    if (finished_ != seen) {
      seen = finished_;
      lock.unlock();
      on_progress_();
      lock.lock();
      if (!done) continue;  // look again at what happened meanwhile
    }
    if (done) return {};
    for_feeder_.wait(lock);
  }
}

void WorkerPool::RunThread() {
  Scratch scratch;
  std::unique_lock lock(mutex_);
  while (true) {
    for_threads_.wait(lock, [this] { return stopped() || !queue_.empty(); });
    if (stopped()) return;
    RunTask(lock, scratch);
  }
}

// Runs the task at the front of the queue, without the lock.
void WorkerPool::RunTask(std::unique_lock<std::mutex>& lock, Scratch& scratch) {
  auto [cost_bytes, task] = std::move(queue_.front());
  queue_.pop_front();
  lock.unlock();
  Result<void> done = task(scratch);
  task = nullptr;  // what it holds is part of its cost
  lock.lock();
  if (!done && !failure_) {
    failure_ = std::move(done).error();
    for_threads_.notify_all();
  }
  cost_bytes_ -= cost_bytes;
  --unfinished_;
  ++finished_;
  for_feeder_.notify_one();
}

}  // namespace runnel::restore
