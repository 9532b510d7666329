#include "config/sections.h"

namespace runnel::config {
namespace {

using Rule = KeyRule<DatabaseSection>;
using SnapshotRule = KeyRule<SnapshotSection>;

void ReadReplica(ValueReader& reader, const YamlNode& value, DatabaseSection& out) {
  ReplicaSection replica;
  replica.place = value.place;
  ReadSection<ReplicaSection>(reader, value, "a replica", ReplicaRules(), replica);
  out.replicas.push_back(std::move(replica));
}

void ReadOneReplica(ValueReader& reader, const YamlNode& value, DatabaseSection& out) {
  if (value.kind == YamlNode::Kind::kNull) return;
  out.has_replica_key = true;
  ReadReplica(reader, value, out);
}

void ReadReplicaList(ValueReader& reader, const YamlNode& value, DatabaseSection& out) {
  if (value.kind == YamlNode::Kind::kNull) return;
  out.has_replicas_key = true;
  if (value.kind != YamlNode::Kind::kList) {
    reader.Bad(value, "a list: put '- ' before each replica, or write \"replica\"");
    return;
  }
  for (const YamlNode& item : value.items) ReadReplica(reader, item, out);
}

void ReadDatabasePath(ValueReader& reader, const YamlNode& value, DatabaseSection& out) {
  YamlNode plain = value;
  for (const std::string_view prefix : {"sqlite://", "sqlite3://"}) {
    if (plain.text.starts_with(prefix)) plain.text.erase(0, prefix.size());
  }
  reader.ReadPath(plain, out.path);
}

// Litestream has a negative count for "never".
void ReadTruncatePageN(ValueReader& reader, const YamlNode& value, DatabaseSection& out) {
  reader.ReadInteger(value, -1'000'000'000, 1'000'000'000, out.truncate_page_n);
  if (out.truncate_page_n && *out.truncate_page_n < 0) {
    reader.diagnostics().AddWarning(
        value.place, "truncate-page-n: the WAL always has a bound; the default one is used");
    out.truncate_page_n = 0;
  }
}

constexpr std::int64_t kPagesMax = 100'000'000;

const Rule kRules[] = {
    Rule::Honoured("path", ReadDatabasePath),
    Rule::Honoured("dir", [](auto& r, auto& v, auto& s) { r.ReadPath(v, s.dir); }),
    Rule::Honoured("pattern", [](auto& r, auto& v, auto& s) { r.ReadText(v, s.pattern); }),
    Rule::Honoured("recursive", [](auto& r, auto& v, auto& s) { r.ReadBool(v, s.recursive); }),
    Rule::Honoured("watch", [](auto& r, auto& v, auto& s) { r.ReadBool(v, s.watch); }),
    Rule::Honoured("meta-path", [](auto& r, auto& v, auto& s) { r.ReadPath(v, s.meta_path); }),
    Rule::Honoured("meta-dir", [](auto& r, auto& v, auto& s) { r.ReadPath(v, s.meta_dir); }),
    Rule::Honoured(
        "monitor-interval",
        [](auto& r, auto& v, auto& s) { r.ReadDuration(v, milliseconds(1), s.monitor_interval); }),
    Rule::Honoured("checkpoint-interval",
                   [](auto& r, auto& v, auto& s) {
                     r.ReadDuration(v, milliseconds(0), s.checkpoint_interval);
                   }),
    Rule::Honoured("min-checkpoint-page-count",
                   [](auto& r, auto& v, auto& s) {
                     r.ReadInteger(v, 1, kPagesMax, s.min_checkpoint_page_count);
                   }),
    Rule::Honoured("truncate-page-n", ReadTruncatePageN),
    Rule::Pending(
        "busy-timeout",
        [](auto& r, auto& v, auto& s) { r.ReadDuration(v, milliseconds(0), s.busy_timeout); },
        "what finds a lock of an application taken is tried again later"),
    Rule::Pending(
        "max-sync-wal-bytes",
        [](auto& r, auto& v, auto& s) { r.ReadSize(v, 0, s.max_sync_wal_bytes); },
        "all that is committed is captured in one go"),
    Rule::Honoured("max-staging-bytes",
                   [](auto& r, auto& v, auto& s) { ReadStaging(r, v, s.max_staging_bytes); }),
    Rule::Honoured("journal-mode",
                   [](auto& r, auto& v, auto& s) { ReadJournalMode(r, v, s.journal_mode); }),
    Rule::Honoured("snapshot", [](auto& r, auto& v, auto& s) { ReadSnapshot(r, v, s.snapshot); }),
    Rule::Honoured("sync-interval",
                   [](auto& r, auto& v, auto& s) { ReadSyncInterval(r, v, s.settings); }),
    Rule::Honoured("page-encoding",
                   [](auto& r, auto& v, auto& s) { ReadPageEncoding(r, v, s.settings); }),
    Rule::Honoured("replica", ReadOneReplica),
    Rule::Honoured("replicas", ReadReplicaList),
    Rule::Warned("max-checkpoint-page-count",
                 "a checkpoint never makes readers or writers wait for its end (a key of 0.3)"),
    Rule::Refused("restore-if-db-not-exists",
                  "comes with a later version, and without it the application would start on an "
                  "empty database: run `runnel restore -if-db-not-exists` before it"),
};

const SnapshotRule kSnapshotRules[] = {
    SnapshotRule::Honoured(
        "interval",
        [](auto& r, auto& v, auto& s) { r.ReadDuration(v, milliseconds(1), s.interval); }),
    SnapshotRule::Honoured(
        "retention",
        [](auto& r, auto& v, auto& s) { r.ReadDuration(v, milliseconds(1), s.retention); }),
};

}  // namespace

std::span<const KeyRule<DatabaseSection>> DatabaseRules() { return kRules; }
std::span<const KeyRule<SnapshotSection>> SnapshotRules() { return kSnapshotRules; }

void ReadJournalMode(ValueReader& reader, const YamlNode& value, std::optional<JournalMode>& out) {
  static constexpr std::pair<std::string_view, JournalMode> kWords[] = {
      {"switch", JournalMode::kSwitch}, {"require", JournalMode::kRequire}};
  reader.ReadWord<JournalMode>(value, kWords, out);
}

void ReadSnapshot(ValueReader& reader, const YamlNode& value, SnapshotSection& out) {
  ReadSection<SnapshotSection>(reader, value, "snapshot", SnapshotRules(), out);
}

void ReadStaging(ValueReader& reader, const YamlNode& value, std::optional<std::uint64_t>& out) {
  constexpr std::uint64_t kLeast = std::uint64_t{16} << 20U;
  reader.ReadSize(value, kLeast, out);
}

}  // namespace runnel::config
