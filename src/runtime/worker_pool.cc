#include "runtime/worker_pool.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/mutex.h"
#include "runtime/signals.h"

namespace runnel::runtime {
namespace {

class Loop {
 public:
  Loop(std::size_t count, const std::function<Result<void>(std::size_t)>& work)
      : count_(count), work_(work) {}

  void Run() {
    while (!failed_.load(std::memory_order_relaxed)) {
      const std::size_t index = next_.fetch_add(1, std::memory_order_relaxed);
      if (index >= count_) return;
      if (Result<void> result = work_(index); !result) Note(index, std::move(result).error());
    }
  }

  // Once no thread runs any more.
  Result<void> TakeResult() {
    const MutexLock lock(mutex_);
    if (error_) return Fail(*std::move(error_));
    return {};
  }

 private:
  void Note(std::size_t index, Error error) {
    const MutexLock lock(mutex_);
    failed_.store(true, std::memory_order_relaxed);
    if (error_ && error_index_ < index) return;
    error_ = std::move(error);
    error_index_ = index;
  }

  const std::size_t count_;
  const std::function<Result<void>(std::size_t)>& work_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<bool> failed_ = false;
  Mutex mutex_;
  std::optional<Error> error_ RUNNEL_GUARDED_BY(mutex_);
  std::size_t error_index_ RUNNEL_GUARDED_BY(mutex_) = 0;
};

// As many as the system gives, up to one fewer than `workers`.
void StartThreads(std::vector<std::jthread>& threads, std::size_t workers, Loop& loop) {
  const SignalsBlocked blocked;  // inherited; the caller itself must stay interruptible
  for (std::size_t i = 1; i < workers; ++i) {
    try {
      threads.emplace_back([&loop] { loop.Run(); });
    } catch (const std::system_error&) {
      return;
    }
  }
}

}  // namespace

Result<void> ParallelFor(std::size_t workers, std::size_t count,
                         const std::function<Result<void>(std::size_t index)>& work) {
  RUNNEL_CHECK(workers > 0);
  Loop loop(count, work);
  {
    std::vector<std::jthread> threads;
    StartThreads(threads, std::min(workers, count), loop);
    loop.Run();
  }
  return loop.TakeResult();
}

}  // namespace runnel::runtime
