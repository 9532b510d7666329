// The scheduler of tests: one thread, a manual clock, and an order that a seed decides.
//
// Jobs run only inside the calls below, on the caller's thread, so that a whole daemon is stepped
// through a scenario and the same seed gives the same run.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "runtime/scheduler.h"
#include "testing/manual_clock.h"

namespace runnel::testing {

class ManualScheduler final : public runtime::Scheduler {
 public:
  // `clock` outlives the scheduler. Ready jobs run first come, first served, whatever their pool;
  // with a `seed`, in an order drawn from it: some interleaving that threads could produce.
  explicit ManualScheduler(ManualClock& clock, std::optional<std::uint64_t> seed = {});
  ~ManualScheduler() override;
  ManualScheduler(const ManualScheduler&) = delete;
  ManualScheduler& operator=(const ManualScheduler&) = delete;

  [[nodiscard]] runtime::JobHandle Add(runtime::Job& job, runtime::Pool pool) override;

  // Runs one ready job: woken, or due by the clock. False if there is none.
  bool RunOne();

  // Runs until no job is ready at the clock's present time, which does not move (but by a job that
  // sleeps). Returns how many runs there were. Fails by CHECK after kRunsMax runs: jobs that
  // always want to run at once never leave a daemon idle, and that is a bug to be seen.
  std::size_t RunReady();
  static constexpr std::size_t kRunsMax = 1'000'000;

  // Moves the clock to `time`, stopping at each deadline on the way to run what is due then.
  std::size_t AdvanceTo(MonotonicTime time);
  std::size_t Advance(std::chrono::nanoseconds duration);

  // Moves the clock from deadline to deadline until no job waits for a time, or the next one is
  // past `limit`. A job that sweeps at intervals never becomes idle, therefore the limit.
  std::size_t RunUntilIdle(MonotonicTime limit);

  // The earliest time a job waits for; nothing if none does. The past, if a job is ready.
  std::optional<MonotonicTime> next_deadline() const;

  std::size_t job_count() const { return slots_.size(); }

 private:
  class Slot;

  void WakeDue();
  Slot* NextReady();
  void Remove(Slot& slot);
  // A number for first come, first served.
  std::uint64_t NextTicket() { return ++ticket_; }

  ManualClock& clock_;
  std::optional<std::mt19937_64> random_;
  std::vector<Slot*> slots_;  // owned by their handles
  std::uint64_t ticket_ = 0;
};

}  // namespace runnel::testing
