// The threads of one restore, and the one thread that feeds them.
//
//   (1) One thread, the feeder, makes the pool, submits, waits and destroys it; tasks run on the
//       pool's own threads, in the order submitted, and submit nothing themselves.
//   (2) Tasks waiting or running never cost more than the budget together, so that a slow disk or
//       network stops the feeder instead of filling the memory.
//   (3) After the first failed task, or a request to stop, no other task starts.
//   (4) Where the system gives no threads at all, the feeder runs the tasks.

#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace runnel::restore {

// Buffers of a pool thread, kept from task to task. They grow and never shrink; what they hold
// between tasks means nothing.
struct Scratch {
  Bytes input;
  Bytes output;

  // The first `size` bytes of a buffer, grown to it.
  static MutableBytes Take(Bytes& buffer, std::size_t size) {
    if (buffer.size() < size) buffer.resize(size);
    return MutableBytes(buffer).first(size);
  }
};

class WorkerPool {
 public:
  using Task = std::move_only_function<Result<void>(Scratch&)>;

  // `on_progress` is called on the feeder's thread, from Submit() and WaitUntil(), after tasks
  // were done.
  WorkerPool(int threads, std::size_t budget_bytes, std::stop_token stop,
             std::function<void()> on_progress);
  // Waits for the tasks that run; those that wait are dropped.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Blocks until `cost_bytes` fit into the budget (a task dearer than the budget waits until it
  // is alone). Fails with the first task's failure, or kCancelled.
  Result<void> Submit(std::size_t cost_bytes, Task task);

  // Blocks until `ready()`, asked whenever a task was done, is true. Fails as Submit(). What
  // `ready` reads was written by tasks.
  Result<void> WaitUntil(const std::function<bool()>& ready);

  // Blocks until all tasks are done. Fails as Submit().
  Result<void> Drain();

 private:
  struct Queued {
    std::size_t cost_bytes;
    Task task;
  };

  void RunThread();
  void RunTask(std::unique_lock<std::mutex>& lock, Scratch& scratch);
  Result<void> Wait(std::unique_lock<std::mutex>& lock, const std::function<bool()>& ready);
  bool stopped() const { return failure_.has_value() || closing_; }

  const std::size_t budget_bytes_;
  const std::function<void()> on_progress_;

  std::mutex mutex_;
  std::condition_variable for_threads_;
  std::condition_variable for_feeder_;
  std::deque<Queued> queue_;
  std::size_t cost_bytes_ = 0;  // of tasks waiting and running
  std::size_t unfinished_ = 0;
  std::uint64_t finished_ = 0;
  std::optional<Error> failure_;
  bool closing_ = false;

  Scratch feeder_scratch_;
  std::vector<std::jthread> threads_;
  std::stop_callback<std::function<void()>> on_stop_;
};

}  // namespace runnel::restore
