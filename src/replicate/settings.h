// How a replica is kept: Litestream's settings, with its defaults.

#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "fs/file_system.h"
#include "fs/stored_path.h"
#include "ltx/format.h"
#include "runtime/scheduler.h"

namespace runnel::replicate {

using Milliseconds = std::chrono::milliseconds;

// Whether waiting for durability waits for this destination. Where none is required, all are.
enum class Importance : std::uint8_t { kOptional, kRequired };

enum class DeletionMode : std::uint8_t { kByAge, kNever };

// Whether what is written is read back and compared with the live database.
enum class ProofMode : std::uint8_t {
  kAutomatic,  // unless the store bills requests
  kOn,
  kOff,
};

struct DestinationSettings {
  std::string name;  // for logs and tables
  Importance importance = Importance::kOptional;
  Milliseconds sync_interval = std::chrono::seconds(1);  // uploads begin at most this often
  // Of level 1, 2, ...; at most 8.
  std::vector<Milliseconds> level_intervals = {std::chrono::seconds(30), std::chrono::minutes(5),
                                               std::chrono::hours(1)};
  Milliseconds snapshot_interval = std::chrono::hours(24);
  Milliseconds snapshot_retention = std::chrono::hours(24);
  Milliseconds l0_retention = std::chrono::minutes(5);  // 0: L0 objects are never deleted
  DeletionMode deletion = DeletionMode::kByAge;
  ProofMode proof = ProofMode::kAutomatic;
};

// What replication is built on. All of it outlives whatever is given it.
struct Environment {
  fs::FileSystem& fs;
  Clock& clock;
  Random& random;
  Logger& log;
  runtime::Scheduler& scheduler;
};

// Where work in progress lies, and how our own files are made.
struct LocalFiles {
  fs::StoredPath spool_folder;  // files of ours in it end in ".tmp"; may be missing
  fs::Ownership ownership;
  ltx::PageEncoding encoding = ltx::PageEncoding::kBlock;
  // How much staged cuts may take up for destinations that do not have them yet.
  std::uint64_t max_staging_bytes = std::uint64_t{1} << 30;
};

}  // namespace runnel::replicate
