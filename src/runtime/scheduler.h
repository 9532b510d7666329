// The one mechanism for concurrency: many short jobs on a few threads.
//
// Functions of this program block and return a Result. What goes on by itself for as long as a
// database is open (capture, upload, compaction) is a Job: an object whose Run() does the next
// piece of work and returns. Between runs a job costs some dozens of bytes and no thread, so that
// ten thousand idle databases cost nothing.
//
//  1. A job never runs twice at once. Whatever only its Run() touches needs no lock.
//  2. A job that was added does not run before it is woken.
//  3. No wake-up is lost: after Wake() a Run() starts that sees all that the waker did before.
//     Several wake-ups may share one run; one that comes during a run causes another run.
//  4. The start of a run takes back every wake-up before it, those for a later time too: Run()
//     looks at the whole state of its job, and what it returns is the next time it needs.
//  5. Ready jobs of a pool run in the order in which they became ready. A job with much to do
//     returns now and then with the present time, and goes behind the others.
//  6. Nothing runs, and no thread wakes, while no job is woken or due.
//
// The caller keeps scheduler, job and handle alive in this order: the scheduler outlives every
// handle, and a job outlives its handle.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "base/clock.h"

namespace runnel::runtime {

// Which threads a job runs on: by what it may wait for, so that one kind never starves another.
enum class Pool : std::uint8_t {
  kCapture,   // time-critical work on the WAL; waits for the local disk only
  kTransfer,  // requests to a store: waits on the network
  kBulk,      // long work of CPU and disk: compaction, snapshots, scans
};
inline constexpr int kPoolCount = 3;

class Job {
 public:
  virtual ~Job() = default;

  // The next piece of work. Returns when it wants to run again though nobody wakes it (a time that
  // has passed: as soon as the others had their turn); nothing: only when woken.
  virtual std::optional<MonotonicTime> Run() = 0;
};

// A scheduler's side of one job. For implementers; everybody else uses JobHandle.
class JobControl {
 public:
  // Stops the job, and waits for a run that is going on.
  virtual ~JobControl() = default;
  virtual void Wake() = 0;
  virtual void WakeAt(MonotonicTime time) = 0;
  virtual void Stop() = 0;
};

// What a job's owner, and its neighbours, hold of it. Wake() and WakeAt() may be called from any
// thread, from a Run() too; they never block. An empty handle (moved from, default) ignores calls.
class JobHandle {
 public:
  JobHandle() = default;
  explicit JobHandle(std::unique_ptr<JobControl> control) : control_(std::move(control)) {}
  JobHandle(JobHandle&&) = default;
  // Stops the job that the handle had.
  JobHandle& operator=(JobHandle&&) = default;

  // Makes the job run soon; after Stop() does nothing.
  void Wake() {
    if (control_) control_->Wake();
  }

  // Makes the job run at `time` unless it runs before: the earlier of this and what is pending.
  void WakeAt(MonotonicTime time) {
    if (control_) control_->WakeAt(time);
  }

  // No Run() is going on when this returns, and none starts afterwards. Blocks for the run that is
  // going on. Idempotent. Never from the job's own Run(): that is a bug, and CHECKed.
  void Stop() {
    if (control_) control_->Stop();
  }

  explicit operator bool() const { return control_ != nullptr; }

 private:
  std::unique_ptr<JobControl> control_;  // its destructor stops
};

// Thread-safe.
class Scheduler {
 public:
  virtual ~Scheduler() = default;

  [[nodiscard]] virtual JobHandle Add(Job& job, Pool pool) = 0;
};

}  // namespace runnel::runtime
