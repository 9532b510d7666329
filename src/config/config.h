// What the configuration file asks for, every default filled in: plain values, checked.
//
// The keys and their meaning are in docs/configuration.md; this names them only where a value is
// not what its key says.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/log.h"
#include "base/redacted.h"
#include "config/defaults.h"

namespace runnel::config {

using std::chrono::milliseconds;

// Where something was written, 1-based; columns count bytes. Line 0: nowhere, it is a default.
struct Place {
  int line = 0;
  int column = 0;
  friend auto operator<=>(const Place&, const Place&) = default;
};

enum class PageEncoding : std::uint8_t { kBlock, kFrame };
enum class JournalMode : std::uint8_t {
  kSwitch,   // a database that is not in WAL mode is switched once
  kRequire,  // it is refused
};
enum class ReplicaType : std::uint8_t {
  kFile,
  kS3,
  kMemory,  // of this process; for trying out and for tests
};
enum class LogStyle : std::uint8_t { kText, kJson };
enum class LogStream : std::uint8_t { kStdout, kStderr };

// When a snapshot is taken, and how long it and what follows it are kept.
struct Snapshots {
  milliseconds interval = defaults::kSnapshotInterval;
  milliseconds retention = defaults::kSnapshotRetention;
  friend bool operator==(const Snapshots&, const Snapshots&) = default;
};

// What is written of a replica in S3; what is not there is absent. What it means is the business of
// store/s3.
struct S3Keys {
  std::optional<std::string> bucket, endpoint, region, access_key_id, ca_file, storage_class;
  std::optional<std::string> sse_customer_algorithm, sse_customer_key_path, sse_kms_key_id;
  std::optional<Redacted> secret_access_key, session_token, sse_customer_key;
  std::optional<bool> force_path_style, sign_payload, require_content_md5, skip_verify;
  std::optional<std::uint64_t> part_size;
  std::optional<std::int64_t> concurrency;
  friend bool operator==(const S3Keys&, const S3Keys&) = default;
};

// One destination of a database.
struct Replica {
  Place place;
  ReplicaType type = ReplicaType::kFile;
  std::string name;  // for logs and the command line; empty unless given
  // kFile: the folder, absolute. For a directory of databases the relative path of each database
  // is still to be appended. kS3: the beginning of the keys, as it is written, where no URL is.
  std::string path;
  std::string url;  // kS3: as it is written, or empty
  S3Keys s3;
  milliseconds sync_interval = defaults::kSyncInterval;
  PageEncoding page_encoding = PageEncoding::kBlock;
  Snapshots snapshots;
  std::uint32_t max_sync_ltx_files = defaults::kMaxSyncLtxFiles;  // in one batch; 0: no limit
  // A commit counts as durable only once this replica has it. Where no replica of a database is
  // marked, all are.
  bool required = true;
};

struct SingleDatabase {
  std::string path;                      // absolute
  std::optional<std::string> meta_path;  // absolute; else beside the database
};

// Every database in a folder.
struct DatabaseDirectory {
  std::string directory;  // absolute
  std::string pattern;    // for the last part of a path, as a shell matches file names
  bool recursive = false;
  bool watch = false;                    // databases that appear later too
  std::optional<std::string> meta_path;  // <meta_path>/<relative folder>/.<file>-litestream
  std::optional<std::string> meta_dir;   // <meta_dir>/<relative path>-litestream
};

struct Database {
  Place place;
  std::variant<SingleDatabase, DatabaseDirectory> source;
  // At least this long between two cuts, beside the sync intervals of the replicas. Litestream
  // makes one L0 file a `monitor-interval`; who sets it wants this many files.
  milliseconds cut_interval_min{0};
  milliseconds checkpoint_interval = defaults::kCheckpointInterval;  // 0: by size only
  std::uint32_t min_checkpoint_page_count = defaults::kMinCheckpointPageCount;
  // Pages in the WAL past which the write lock is taken for a checkpoint (`truncate-page-n`).
  std::uint32_t hard_bound_page_count =
      defaults::kMinCheckpointPageCount * defaults::kHardBoundFactor;
  milliseconds busy_timeout = defaults::kBusyTimeout;
  std::uint64_t max_sync_wal_bytes = defaults::kMaxSyncWalBytes;  // 0: no limit
  std::uint64_t max_staging_bytes = defaults::kMaxStagingBytes;
  JournalMode journal_mode = JournalMode::kSwitch;
  std::vector<Replica> replicas;  // at least one

  // How often a cut may be made: as often as the quickest replica wants one.
  milliseconds cut_interval() const;
};

struct Logging {
  LogLevel level = LogLevel::kInfo;
  LogStyle style = LogStyle::kText;
  LogStream stream = LogStream::kStdout;
};

struct Config {
  std::vector<Database> databases;  // may be empty: they can be registered later
  std::vector<milliseconds> level_intervals{std::begin(defaults::kLevelIntervals),
                                            std::end(defaults::kLevelIntervals)};  // of L1, L2..
  milliseconds l0_retention = defaults::kL0Retention;  // 0: L0 is kept for good
  milliseconds l0_retention_check_interval = defaults::kL0RetentionCheckInterval;
  bool retention_enabled = true;  // false: nothing is ever deleted from a replica
  bool verify_compaction = false;
  milliseconds shutdown_sync_timeout = defaults::kShutdownSyncTimeout;  // 0: one try
  milliseconds shutdown_sync_interval = defaults::kShutdownSyncInterval;
  Logging logging;
  std::vector<std::string> allowed_file_systems;  // names such as "nfs4", beside the local ones
};

}  // namespace runnel::config
