// The sections of the file as they were written: what is not there is absent. resolve.cc fills in
// what is inherited and checks what must fit together.

#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/s3_keys.h"
#include "config/section_reader.h"

namespace runnel::config {

using Milliseconds = std::optional<milliseconds>;

// Settings of replicas that are inherited: from the top level, from a database.
struct ReplicaSettings {
  Milliseconds sync_interval;
  std::optional<PageEncoding> page_encoding;
  std::optional<std::int64_t> max_sync_ltx_files;
};

struct SnapshotSection {
  Milliseconds interval;
  Milliseconds retention;
};

struct ReplicaSection {
  Place place;
  std::optional<Text> type, url, path, name;
  ReplicaSettings settings;
  SnapshotSection snapshot;  // keys of 0.3
  std::optional<bool> required;
  S3KeySection s3;
  // Keys of stores that this version does not have, to be warned of.
  std::vector<Text> store_keys;
};

struct DatabaseSection {
  Place place;
  std::optional<Text> path, dir, pattern, meta_path, meta_dir;
  std::optional<bool> recursive, watch;
  Milliseconds monitor_interval, checkpoint_interval, busy_timeout;
  std::optional<std::int64_t> min_checkpoint_page_count, truncate_page_n;
  std::optional<std::uint64_t> max_sync_wal_bytes, max_staging_bytes;
  std::optional<JournalMode> journal_mode;
  SnapshotSection snapshot;
  ReplicaSettings settings;
  bool has_replica_key = false;
  bool has_replicas_key = false;
  std::vector<ReplicaSection> replicas;
};

struct LoggingSection {
  std::optional<LogLevel> level;
  std::optional<LogStyle> style;
  std::optional<bool> to_stderr;
};

struct LevelSection {
  Milliseconds interval;
};

struct RetentionSection {
  std::optional<bool> enabled;
};

struct TopSection {
  std::vector<DatabaseSection> databases;
  std::vector<milliseconds> levels;  // empty: not given
  SnapshotSection snapshot;
  ReplicaSettings settings;
  Milliseconds l0_retention, l0_retention_check_interval;
  Milliseconds shutdown_sync_timeout, shutdown_sync_interval;
  RetentionSection retention;
  LoggingSection logging;
  std::optional<bool> verify_compaction;
  std::optional<std::uint64_t> max_staging_bytes;
  std::optional<JournalMode> journal_mode;
  std::vector<std::string> allowed_file_systems;
  S3KeySection s3;
  std::vector<Text> store_keys;
};

// Why keys that stand in more than one table are pending.
inline constexpr std::string_view kUploadsAreSingle = "cuts are uploaded one by one";

// The tables, each in the file of its section.
std::span<const KeyRule<ReplicaSection>> ReplicaRules();
std::span<const KeyRule<DatabaseSection>> DatabaseRules();
std::span<const KeyRule<SnapshotSection>> SnapshotRules();
std::span<const KeyRule<TopSection>> TopRules();

// Keys of stores that come with a later version (S3, ABS, SFTP, WebDAV, NATS, OSS, GS).
std::span<const std::string_view> StoreKeys();

void ReadSyncInterval(ValueReader& reader, const YamlNode& value, ReplicaSettings& out);
void ReadPageEncoding(ValueReader& reader, const YamlNode& value, ReplicaSettings& out);
void ReadMaxSyncLtxFiles(ValueReader& reader, const YamlNode& value, ReplicaSettings& out);
void ReadJournalMode(ValueReader& reader, const YamlNode& value, std::optional<JournalMode>& out);
void ReadSnapshot(ValueReader& reader, const YamlNode& value, SnapshotSection& out);
void ReadStaging(ValueReader& reader, const YamlNode& value, std::optional<std::uint64_t>& out);

// From what was written to what holds. Adds errors for what does not fit together.
Config Resolve(const TopSection& top, ValueReader& reader);

}  // namespace runnel::config
