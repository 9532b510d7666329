// The background proof: reads back what was written, and compares it with the live database.
//
//   (1) Every object is read back and proven as soon as it is written.
//   (2) The pages that they lead to are known by their checksums (ProofArray). At a txid that is
//       compared, page by page, with a scan of the live database: a page that differs, and that no
//       later cut has, is one that a restore would get wrong.
//
// A damaged object is logged, shown in the status, and bridged by a snapshot. A page that differs
// is logged and shown; capture is asked to compare and to cut it, since the checksums of its cuts
// do not know it.

#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <set>

#include "replicate/backoff.h"
#include "replicate/cut_source.h"
#include "replicate/destination.h"
#include "replicate/events.h"
#include "replicate/proof_array.h"
#include "replicate/settings.h"
#include "replicate/wake_time.h"
#include "runtime/rate_limited_log.h"
#include "runtime/scheduler.h"

namespace runnel::replicate {

// A job of the bulk pool: one object or a few megabytes of a scan a run. Idle while nothing is
// written; the live database is compared at most once a snapshot interval, if it changed.
class Prover final : public runtime::Job {
 public:
  // All of it outlives the prover.
  Prover(Destination& destination, CutSource& source, DestinationEvents& events,
         const LocalFiles& local, const Environment& environment);

  std::optional<MonotonicTime> Run() override;

 private:
  // The first pages that differ are enough to know that the proof failed.
  static constexpr std::size_t kDifferencesMax = 1U << 20;

  Result<WakeTime> Step(MonotonicTime now);
  Result<bool> ProveMerged();
  Result<WakeTime> CompareStep(MonotonicTime now);
  Result<bool> ScanStep();
  Result<void> Conclude();
  Result<void> ForgetChangedSince(Txid base, Txid last);
  void Damaged(const Error& error);
  void EndComparison(MonotonicTime now);

  Destination& destination_;
  CutSource& source_;
  DestinationEvents& events_;
  const Environment environment_;
  runtime::RateLimitedLog errors_;
  Backoff backoff_;
  const std::uint64_t max_staging_bytes_;
  ProofArray array_;

  std::unique_ptr<PageScan> scan_;  // while the live database is compared
  bool scanned_ = false;
  bool mending_ = false;  // a page differed, and no comparison has succeeded since
  Txid wanted_{};         // a cut that has what the scan saw
  std::set<PageNo> differences_;
  std::optional<MonotonicTime> compare_not_before_;
};

}  // namespace runnel::replicate
