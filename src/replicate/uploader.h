// Brings staged cuts to one destination, one after the other, in order.

#pragma once

#include <atomic>
#include <optional>
#include <string>

#include "replicate/backoff.h"
#include "replicate/cut_source.h"
#include "replicate/destination.h"
#include "replicate/events.h"
#include "replicate/settings.h"
#include "replicate/wake_time.h"
#include "runtime/rate_limited_log.h"
#include "runtime/scheduler.h"

namespace runnel::replicate {

// A job of the transfer pool. One cut a run, so that databases take turns; a batch is what was
// staged when it began, and batches begin at most once a sync interval (at once after a quiet one).
// Waits for nothing but errors and the sync interval: without a new cut it makes no request.
class Uploader final : public runtime::Job {
 public:
  // All of it outlives the uploader.
  Uploader(Destination& destination, CutSource& source, DestinationEvents& events,
           const Environment& environment);

  std::optional<MonotonicTime> Run() override;

  // The next batch does not wait for the sync interval. Wake the job afterwards.
  void Hurry() { hurry_.store(true, std::memory_order_release); }

 private:
  Result<WakeTime> Step(MonotonicTime now);
  Result<WakeTime> ConnectAndSettle();
  Result<WakeTime> BeginBatch(Txid newest, MonotonicTime now);
  Result<WakeTime> UploadNext(MonotonicTime now);
  WakeTime BridgeDamaged(Txid txid, const Error& damage);
  WakeTime BlockForSnapshot(Txid beyond, std::string reason);

  Destination& destination_;
  CutSource& source_;
  DestinationEvents& events_;
  const Environment environment_;
  runtime::RateLimitedLog errors_;
  std::atomic<bool> hurry_{false};

  Backoff backoff_;
  bool settled_ = false;
  std::optional<Txid> batch_last_;
  MonotonicTime next_batch_{};
};

}  // namespace runnel::replicate
