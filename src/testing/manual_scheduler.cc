#include "testing/manual_scheduler.h"

#include <algorithm>

#include "base/check.h"

namespace runnel::testing {

using runtime::Job;
using runtime::JobControl;
using runtime::JobHandle;
using runtime::Pool;

class ManualScheduler::Slot final : public JobControl {
 public:
  Slot(ManualScheduler& scheduler, Job& job) : scheduler_(scheduler), job_(job) {}
  ~Slot() override { Stop(); }

  void Wake() override {
    if (stopped_ || woken_) return;
    woken_ = true;
    ticket_ = scheduler_.NextTicket();
  }

  void WakeAt(MonotonicTime time) override {
    if (stopped_ || (deadline_ && *deadline_ <= time)) return;
    deadline_ = time;
    if (!woken_) ticket_ = scheduler_.NextTicket();
  }

  void Stop() override {
    // A job that stops itself would wait for its own end under threads.
    RUNNEL_CHECK(!running_);
    if (stopped_) return;
    stopped_ = true;
    woken_ = false;
    deadline_.reset();
    scheduler_.Remove(*this);
  }

  void Run() {
    woken_ = false;
    deadline_.reset();
    RUNNEL_CHECK(!running_);
    running_ = true;
    const std::optional<MonotonicTime> next = job_.Run();
    running_ = false;
    if (next) WakeAt(*next);
  }

 private:
  friend class ManualScheduler;

  ManualScheduler& scheduler_;
  Job& job_;
  bool stopped_ = false;
  bool running_ = false;
  bool woken_ = false;
  std::optional<MonotonicTime> deadline_;
  std::uint64_t ticket_ = 0;  // place among the woken, or among those of the same deadline
};

ManualScheduler::ManualScheduler(ManualClock& clock, std::optional<std::uint64_t> seed)
    : clock_(clock) {
  if (seed) random_.emplace(*seed);
}

ManualScheduler::~ManualScheduler() { RUNNEL_CHECK(slots_.empty()); }

JobHandle ManualScheduler::Add(Job& job, Pool) {
  auto slot = std::make_unique<Slot>(*this, job);
  slots_.push_back(slot.get());
  return JobHandle(std::move(slot));
}

void ManualScheduler::WakeDue() {
  const MonotonicTime now = clock_.MonotonicNow();
  std::vector<Slot*> due;
  std::ranges::copy_if(slots_, std::back_inserter(due), [now](const Slot* slot) {
    return slot->deadline_ && *slot->deadline_ <= now;
  });
  // Equal deadlines in the order in which they were asked for.
  std::ranges::sort(due, {},
                    [](const Slot* slot) { return std::pair(*slot->deadline_, slot->ticket_); });
  for (Slot* slot : due) {
    slot->deadline_.reset();
    slot->Wake();
  }
}

ManualScheduler::Slot* ManualScheduler::NextReady() {
  WakeDue();
  std::vector<Slot*> ready;
  std::ranges::copy_if(slots_, std::back_inserter(ready),
                       [](const Slot* slot) { return slot->woken_ && !slot->running_; });
  if (ready.empty()) return nullptr;
  if (random_) {
    return ready[std::uniform_int_distribution<std::size_t>(0, ready.size() - 1)(*random_)];
  }
  return *std::ranges::min_element(ready, {}, [](const Slot* slot) { return slot->ticket_; });
}

bool ManualScheduler::RunOne() {
  Slot* slot = NextReady();
  if (slot == nullptr) return false;
  slot->Run();
  return true;
}

std::size_t ManualScheduler::RunReady() {
  std::size_t runs = 0;
  while (RunOne()) RUNNEL_CHECK(++runs < kRunsMax);
  return runs;
}

std::size_t ManualScheduler::AdvanceTo(MonotonicTime time) {
  std::size_t runs = RunUntilIdle(time);
  clock_.AdvanceTo(time);
  runs += RunReady();
  return runs;
}

std::size_t ManualScheduler::Advance(std::chrono::nanoseconds duration) {
  return AdvanceTo(clock_.MonotonicNow() + duration);
}

std::size_t ManualScheduler::RunUntilIdle(MonotonicTime limit) {
  std::size_t runs = RunReady();
  for (;;) {
    const std::optional<MonotonicTime> next = next_deadline();
    if (!next || *next > limit) return runs;
    clock_.AdvanceTo(*next);
    runs += RunReady();
    RUNNEL_CHECK(runs < kRunsMax);
  }
}

std::optional<MonotonicTime> ManualScheduler::next_deadline() const {
  std::optional<MonotonicTime> earliest;
  for (const Slot* slot : slots_) {
    std::optional<MonotonicTime> time = slot->deadline_;
    if (slot->woken_) time = std::min(time.value_or(MonotonicTime::max()), clock_.MonotonicNow());
    if (time && (!earliest || *time < *earliest)) earliest = time;
  }
  return earliest;
}

void ManualScheduler::Remove(Slot& slot) { std::erase(slots_, &slot); }

}  // namespace runnel::testing
