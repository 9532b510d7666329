#include "restore/restore.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "restore/parallel.h"

namespace runnel::restore {
namespace {

// Ways around bad files that are tried in one destination.
constexpr int kDetoursMax = 8;

constexpr int kDestinationsAtOnce = 8;

// One error for all that failed. kNotFound means to a caller that there is nothing to restore, and
// is said only if every destination says it.
Error Combine(const std::vector<Failure>& failures) {
  RUNNEL_CHECK(!failures.empty());
  const auto other = std::ranges::find_if(
      failures, [](const Failure& failure) { return failure.error.code() != Errc::kNotFound; });
  const Failure& leading = other == failures.end() ? failures.front() : *other;
  std::string message;
  for (const Failure& failure : failures) {
    if (!message.empty()) message += "; ";
    // A replica that was given by its URL is named in some messages already.
    const bool is_named = failure.destination.contains("://") &&
                          failure.error.message().contains(failure.destination);
    if (!is_named) message += failure.destination + ": ";
    message += failure.error.message();
  }
  return {leading.error.code(), std::move(message)};
}

}  // namespace

Result<Candidate> Restorer::PlanDestination(const Destination& destination, const Target& target,
                                            int parallelism, const std::stop_token& stop,
                                            Txid& newest_seen) {
  Candidate candidate{.destination = destination, .inventory = {}, .plan = {}};
  RUNNEL_TRY(candidate.inventory, ListReplica(destination.source, parallelism, stop));
  newest_seen = candidate.inventory.newest();
  if (target.kind() == Target::Kind::kBefore) {
    RUNNEL_TRY(candidate.inventory, ResolveTimes(destination.source, std::move(candidate.inventory),
                                                 target.time(), parallelism, stop));
  }
  RUNNEL_TRY(candidate.plan, MakePlan(candidate.inventory, target));
  return candidate;
}

Result<Selection> Restorer::Select(std::span<const Destination> destinations, const Target& target,
                                   int parallelism, const std::stop_token& stop) {
  if (destinations.empty()) return Fail(Errc::kInvalidArgument, "no replica is given");
  std::vector<std::optional<Result<Candidate>>> planned(destinations.size());
  std::vector<Txid> newest(destinations.size());
  RUNNEL_TRY_VOID(ParallelFor(
      destinations.size(), kDestinationsAtOnce, stop, [&](std::size_t i) -> Result<void> {
        planned[i] = PlanDestination(destinations[i], target, parallelism, stop, newest[i]);
        return {};
      }));
  Selection selection;
  selection.newest = *std::ranges::max_element(newest);
  for (std::size_t i = 0; i < destinations.size(); ++i) {
    Result<Candidate>& result = *planned[i];
    if (result) {
      const auto worse = std::ranges::find_if(selection.candidates, [&](const Candidate& other) {
        return other.plan.txid() < result->plan.txid();
      });
      selection.candidates.insert(worse, *std::move(result));
      continue;
    }
    if (result.error().code() == Errc::kCancelled) return Fail(std::move(result).error());
    selection.failures.push_back({destinations[i].name, std::move(result).error()});
  }
  if (selection.candidates.empty()) return Fail(Combine(selection.failures));
  return selection;
}

// After a failure: whether `candidate` has another plan that is worth a try.
bool Restorer::FindWayAround(Candidate& candidate, const Target& target, const Fault& fault,
                             const Error& error, const ExecuteOptions& options) {
  if (!fault.file) return false;
  if (error.code() == Errc::kUnavailable) {
    // Retention may have taken the file, after what replaces it was written.
    Txid newest{};
    auto again =
        PlanDestination(candidate.destination, target, options.parallelism, options.stop, newest);
    if (!again || again->plan.files == candidate.plan.files) return false;
    candidate = *std::move(again);
    return true;
  }
  if (error.code() != Errc::kCorruption) return false;
  std::erase(candidate.inventory.files, *fault.file);
  auto plan = MakePlan(candidate.inventory, Target::AtTxid(candidate.plan.txid()));
  if (!plan) return false;
  candidate.plan = *std::move(plan);
  return true;
}

Result<Outcome> Restorer::RestoreCandidate(Candidate& candidate, const Target& target,
                                           const ExecuteOptions& options,
                                           std::vector<Failure>& failures, FaultPlace& place) {
  for (int detours = 0;; ++detours) {
    Executor executor(file_system_, clock_, options);
    auto outcome = executor.Run(candidate.destination.source, candidate.plan);
    if (outcome) return outcome;
    const Fault fault = executor.FaultOf(outcome.error());
    place = fault.place;
    if (place != FaultPlace::kSource) return outcome;
    failures.push_back({candidate.destination.name, outcome.error()});
    log_.Warn("restore from a replica failed", {{"replica", candidate.destination.name},
                                                {"txid", candidate.plan.txid()},
                                                {"error", outcome.error()}});
    if (detours == kDetoursMax ||
        !FindWayAround(candidate, target, fault, outcome.error(), options)) {
      return outcome;
    }
  }
}

Result<Report> Restorer::Restore(std::span<const Destination> destinations, const Target& target,
                                 const ExecuteOptions& options) {
  const MonotonicTime start = clock_.MonotonicNow();
  RUNNEL_TRY_VOID(CheckOutput(file_system_, options.output, options.output_options.overwrite));
  RUNNEL_TRY(Selection selection, Select(destinations, target, options.parallelism, options.stop));
  std::vector<Failure> failures = std::move(selection.failures);
  std::vector<ChainPolicy> policies = {ChainPolicy::kStrict};
  if (options.chain_policy != ChainPolicy::kStrict) policies.push_back(options.chain_policy);
  for (const ChainPolicy policy : policies) {
    ExecuteOptions tried = options;
    tried.chain_policy = policy;
    for (Candidate& candidate : selection.candidates) {
      FaultPlace place = FaultPlace::kSource;
      auto outcome = RestoreCandidate(candidate, target, tried, failures, place);
      if (!outcome && place != FaultPlace::kSource) return Fail(std::move(outcome).error());
      if (!outcome) continue;
      return Report{.outcome = *outcome,
                    .destination = candidate.destination.name,
                    .plan = std::move(candidate.plan),
                    .newest = selection.newest,
                    .failures = std::move(failures),
                    .duration = clock_.MonotonicNow() - start};
    }
  }
  return Fail(Combine(failures));
}

}  // namespace runnel::restore
