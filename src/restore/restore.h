// Brings a database back from whichever of its destinations can.
//
//   (1) The destinations of a database share one history: the same txid is the same state. For the
//       newest state the destination that reaches furthest is tried first, for a given state those
//       that have it, in the order given.
//   (2) If a destination fails (an object is damaged or gone, the store does not answer), a way
//       around is looked for in it, a plan without the bad file that reaches the same txid; then
//       the next destination is tried. What failed, and why, is in the report and in the log.
//   (3) What is not a destination's fault (the disk is full, the output is there, a request to
//       stop) ends it at once.
//   (4) A laxer chain policy is used only after all destinations failed the strict one.

#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "fs/file_system.h"
#include "restore/execute.h"
#include "restore/inventory.h"
#include "restore/plan.h"

namespace runnel::restore {

struct Destination {
  std::string name;  // for logs and reports
  Source source;
};

// A destination that failed.
struct Failure {
  std::string destination;
  Error error;
};

// A destination that can reach the target.
struct Candidate {
  Destination destination;
  Inventory inventory;
  Plan plan;
};

struct Selection {
  std::vector<Candidate> candidates;  // best first, never empty
  std::vector<Failure> failures;      // destinations without a plan
  // The newest txid that any destination holds; beyond the first plan's for Target::Latest() if
  // the destination that has it is not whole.
  Txid newest{};
};

struct Report {
  Outcome outcome;
  std::string destination;
  Plan plan;
  Txid newest{};  // as in Selection
  std::vector<Failure> failures;
  std::chrono::nanoseconds duration{};
};

class Restorer {
 public:
  // All three outlive the restorer.
  Restorer(fs::FileSystem& file_system, Clock& clock, Logger& log)
      : file_system_(file_system), clock_(clock), log_(log) {}

  // What Restore() would do: a dry run. Errors: kNotFound only if every destination says so (an
  // empty replica, a txid that is not there); otherwise the first other error. All are named.
  Result<Selection> Select(std::span<const Destination> destinations, const Target& target,
                           int parallelism, const std::stop_token& stop);

  Result<Report> Restore(std::span<const Destination> destinations, const Target& target,
                         const ExecuteOptions& options);

 private:
  Result<Candidate> PlanDestination(const Destination& destination, const Target& target,
                                    int parallelism, const std::stop_token& stop,
                                    Txid& newest_seen);
  Result<Outcome> RestoreCandidate(Candidate& candidate, const Target& target,
                                   const ExecuteOptions& options, std::vector<Failure>& failures,
                                   FaultPlace& place);
  bool FindWayAround(Candidate& candidate, const Target& target, const Fault& fault,
                     const Error& error, const ExecuteOptions& options);

  fs::FileSystem& file_system_;
  Clock& clock_;
  Logger& log_;
};

}  // namespace runnel::restore
