// Proves a replica: the structure of its listing, every object, and that they fit together.
//
//   (1) What is found is listed, with the object and what to do; the check goes on behind it.
//   (2) A replica without an error restores its newest state, and every object in it is what was
//       written. States inside compacted files are gone by design, and no finding.
//   (3) It reads the store and nothing else, and may run beside the daemon that writes there:
//       objects that retention deletes meanwhile are left out.
//
// A file whose chain begins at 0 holds every page, whatever its first txid is: the chain starts
// anew there (docs/formats/ltx.md, "The chain").

#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "replicate/manifest.h"
#include "store/layout.h"
#include "store/object_store.h"

namespace runnel::replicate {

enum class FindingKind : std::uint8_t {
  kUnreadable,   // the store did not give it
  kDamaged,      // it is not the whole LTX file that its name says
  kChainBroken,  // it does not begin, or end, where another file says
  kMissing,      // txids that no object holds, on the way to the newest state
  kGap,          // txids missing in a level, past which a snapshot leads
  kOverlap,      // two files of a level hold the same txids
};

std::string_view FindingKindName(FindingKind kind);  // "chain_broken"

enum class Severity : std::uint8_t { kNote, kError };

struct Finding {
  FindingKind kind = FindingKind::kDamaged;
  Severity severity = Severity::kError;
  std::string object;  // its key; of the later one where two do not fit
  std::string problem;
  std::string cure;
};

struct LevelSummary {
  std::uint64_t file_count = 0;
  std::uint64_t total_bytes = 0;
  Txid first{};
  Txid last{};
};

struct VerifyResult {
  std::array<LevelSummary, kLevelCount> levels;
  Txid newest{};      // that any object ends with
  Txid restorable{};  // the newest that can be restored, by the names
  std::uint64_t files_checked = 0;
  std::uint64_t bytes_checked = 0;
  std::uint64_t files_without_chain = 0;  // Litestream's: proven each, but not how they fit
  std::uint64_t files_vanished = 0;       // deleted while the check ran
  std::vector<Finding> findings;          // errors first, then by object

  bool ok() const;
};

struct VerifyProgress {
  std::uint64_t files_done = 0;
  std::uint64_t files_total = 0;
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;
};

struct VerifyOptions {
  std::size_t parallelism = 4;
  // Called after each file, from the threads that check, one at a time.
  std::function<void(const VerifyProgress&)> progress;
};

// Fails only if the listing does, the replica is empty (kNotFound), or `stop` is requested
// (kCancelled).
Result<VerifyResult> VerifyReplica(store::ObjectStore& store, const store::ReplicaLayout& layout,
                                   const VerifyOptions& options, const std::stop_token& stop);

}  // namespace runnel::replicate
