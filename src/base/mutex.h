// Locks that clang checks: what a mutex guards is touched only by who holds it, or the build fails
// (-Wthread-safety). Other compilers take the annotations for nothing.
//
//   Mutex mutex_;
//   int count_ RUNNEL_GUARDED_BY(mutex_) = 0;
//   void Add() RUNNEL_REQUIRES(mutex_);   // called with it held
//
// The analysis looks at one function at a time and does not look into lambdas with what their
// surroundings hold: one that runs under the lock says so by Mutex::AssertHeld(). Constructors and
// destructors are not checked.

#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define RUNNEL_THREAD_ANNOTATION_(x) __attribute__((x))
#else
#define RUNNEL_THREAD_ANNOTATION_(x)
#endif

#define RUNNEL_GUARDED_BY(mutex) RUNNEL_THREAD_ANNOTATION_(guarded_by(mutex))
#define RUNNEL_ACQUIRED_AFTER(mutex) RUNNEL_THREAD_ANNOTATION_(acquired_after(mutex))
#define RUNNEL_REQUIRES(...) RUNNEL_THREAD_ANNOTATION_(requires_capability(__VA_ARGS__))
#define RUNNEL_EXCLUDES(...) RUNNEL_THREAD_ANNOTATION_(locks_excluded(__VA_ARGS__))

namespace runnel {

class RUNNEL_THREAD_ANNOTATION_(capability("mutex")) Mutex {
 public:
  void lock() RUNNEL_THREAD_ANNOTATION_(acquire_capability()) { mutex_.lock(); }
  void unlock() RUNNEL_THREAD_ANNOTATION_(release_capability()) { mutex_.unlock(); }

  // Tells the analysis, and checks nothing: for lambdas that run under the lock.
  void AssertHeld() const RUNNEL_THREAD_ANNOTATION_(assert_capability(this)) {}

 private:
  friend class CondVar;
  std::mutex mutex_;
};

// Holds a mutex to the end of its scope, with an interruption where one is asked for.
class RUNNEL_THREAD_ANNOTATION_(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) RUNNEL_THREAD_ANNOTATION_(acquire_capability(mutex))
      : mutex_(mutex) {
    mutex_.lock();
  }
  ~MutexLock() RUNNEL_THREAD_ANNOTATION_(release_capability()) {
    if (held_) mutex_.unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void unlock() RUNNEL_THREAD_ANNOTATION_(release_capability()) {
    held_ = false;
    mutex_.unlock();
  }
  void lock() RUNNEL_THREAD_ANNOTATION_(acquire_capability()) {
    mutex_.lock();
    held_ = true;
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

// Waits end without a reason too: each stands in a loop that asks for one.
class CondVar {
 public:
  void Wait(Mutex& mutex) RUNNEL_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }

  template <class Rep, class Period>
  std::cv_status WaitFor(Mutex& mutex, std::chrono::duration<Rep, Period> duration)
      RUNNEL_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    const std::cv_status status = condition_.wait_for(lock, duration);
    lock.release();
    return status;
  }

  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace runnel
