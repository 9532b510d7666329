#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "base/redacted.h"
#include "config/sections.h"

namespace runnel::config {
namespace {

constexpr std::pair<std::string_view, std::string_view> kLaterStores[] = {
    {"gs", "Google Cloud Storage"},
    {"gcs", "Google Cloud Storage"},
    {"abs", "Azure"},
    {"sftp", "SFTP"},
    {"webdav", "WebDAV"},
    {"webdavs", "WebDAV"},
    {"nats", "NATS"},
    {"oss", "Alibaba OSS"}};

template <class T>
T FirstOf(const T& last, std::initializer_list<std::optional<T>> candidates) {
  for (const std::optional<T>& candidate : candidates) {
    if (candidate) return *candidate;
  }
  return last;
}

// "s3" of "s3://bucket"; empty if `text` is no URL. "file:rel" is one too.
std::string_view SchemeOf(std::string_view text) {
  const std::size_t end = text.find(':');
  if (end == text.npos || end == 0) return {};
  const std::string_view scheme = text.substr(0, end);
  const bool word = std::ranges::all_of(scheme, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
  return word && (text.substr(end).starts_with("://") || scheme == "file") ? scheme
                                                                           : std::string_view();
}

// Nothing for a '%' without two hex digits behind it, or a zero byte.
std::optional<std::string> PercentDecoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned char byte = 0;
    const std::string_view digits = text.substr(i + 1, 2);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (digits.size() != 2 || error != std::errc() || end != digits.data() + 2 || byte == 0) {
      return std::nullopt;
    }
    out += static_cast<char>(byte);
    i += 2;
  }
  return out;
}

class Resolver {
 public:
  Resolver(const TopSection& top, ValueReader& reader)
      : top_(top), reader_(reader), diagnostics_(reader.diagnostics()) {}

  Config Run() {
    Config config;
    if (!top_.levels.empty()) config.level_intervals = top_.levels;
    config.l0_retention = top_.l0_retention.value_or(config.l0_retention);
    config.l0_retention_check_interval =
        top_.l0_retention_check_interval.value_or(config.l0_retention_check_interval);
    config.retention_enabled = top_.retention.enabled.value_or(true);
    config.verify_compaction = top_.verify_compaction.value_or(false);
    config.shutdown_sync_timeout =
        top_.shutdown_sync_timeout.value_or(config.shutdown_sync_timeout);
    config.shutdown_sync_interval =
        top_.shutdown_sync_interval.value_or(config.shutdown_sync_interval);
    config.logging.level = top_.logging.level.value_or(config.logging.level);
    config.logging.style = top_.logging.style.value_or(config.logging.style);
    if (top_.logging.to_stderr.value_or(false)) config.logging.stream = LogStream::kStderr;
    config.allowed_file_systems = top_.allowed_file_systems;
    WarnOfStoreKeys(top_.store_keys);
    for (const DatabaseSection& section : top_.databases) {
      config.databases.push_back(MakeDatabase(section));
    }
    if (!has_s3_) WarnOfStoreKeys(top_.s3.set);
    return config;
  }

 private:
  void Error(Place place, std::string message) { diagnostics_.AddError(place, std::move(message)); }

  void WarnOfStoreKeys(const std::vector<Text>& keys) {
    for (const Text& key : keys) {
      diagnostics_.AddWarning(key.place,
                              key.value +
                                  " has no effect: it is of a kind of store that this version does "
                                  "not have, or that the replica does not use");
    }
  }

  Database MakeDatabase(const DatabaseSection& section) {
    Database database;
    database.place = section.place;
    if (section.dir && !section.path) {
      database.source = MakeDirectory(section);
    } else {
      database.source = MakeSingle(section);
    }
    database.cut_interval_min = section.monitor_interval.value_or(milliseconds(0));
    database.checkpoint_interval =
        section.checkpoint_interval.value_or(database.checkpoint_interval);
    database.busy_timeout = section.busy_timeout.value_or(database.busy_timeout);
    database.max_sync_wal_bytes = section.max_sync_wal_bytes.value_or(database.max_sync_wal_bytes);
    database.max_staging_bytes =
        FirstOf(database.max_staging_bytes, {section.max_staging_bytes, top_.max_staging_bytes});
    database.journal_mode =
        FirstOf(database.journal_mode, {section.journal_mode, top_.journal_mode});
    SetCheckpointBounds(section, database);
    MakeReplicas(section, database);
    return database;
  }

  void SetCheckpointBounds(const DatabaseSection& section, Database& database) {
    const std::int64_t threshold =
        section.min_checkpoint_page_count.value_or(defaults::kMinCheckpointPageCount);
    std::int64_t bound = section.truncate_page_n.value_or(0);
    if (bound == 0) bound = threshold * defaults::kHardBoundFactor;
    if (bound <= threshold) {
      Error(section.place,
            fmt::format("truncate-page-n ({}) must be greater than min-checkpoint-page-count ({})",
                        bound, threshold));
    }
    database.min_checkpoint_page_count = static_cast<std::uint32_t>(threshold);
    database.hard_bound_page_count = static_cast<std::uint32_t>(bound);
  }

  SingleDatabase MakeSingle(const DatabaseSection& section) {
    SingleDatabase single;
    if (!section.path) {
      Error(section.place, "an entry of dbs needs either path or dir");
      return single;
    }
    single.path = section.path->value;
    if (section.meta_path) single.meta_path = section.meta_path->value;
    if (section.dir) {
      Error(section.dir->place, "path and dir exclude each other: make two entries of dbs");
    }
    if (section.pattern || section.recursive || section.watch || section.meta_dir) {
      Error(section.place, "pattern, recursive, watch and meta-dir go with dir, not with path");
    }
    ClaimName(databases_, single.path, section.path->place, "the database");
    return single;
  }

  DatabaseDirectory MakeDirectory(const DatabaseSection& section) {
    DatabaseDirectory directory;
    directory.directory = section.dir->value;
    if (section.pattern) {
      directory.pattern = section.pattern->value;
      if (directory.pattern.find('/') != std::string::npos) {
        Error(
            section.pattern->place,
            "pattern is matched against the file's name, without folders: use recursive for those");
      }
    } else {
      Error(section.dir->place, "dir needs a pattern, such as pattern: \"*.db\"");
    }
    directory.recursive = section.recursive.value_or(false);
    directory.watch = section.watch.value_or(false);
    if (section.meta_path) directory.meta_path = section.meta_path->value;
    if (section.meta_dir) directory.meta_dir = section.meta_dir->value;
    if (section.meta_path && section.meta_dir) {
      Error(section.meta_dir->place, "meta-path and meta-dir exclude each other: keep one");
    }
    ClaimName(databases_, directory.directory + "/" + directory.pattern, section.dir->place,
              "the folder");
    return directory;
  }

  void MakeReplicas(const DatabaseSection& section, Database& database) {
    if (section.has_replica_key && section.has_replicas_key) {
      Error(section.place, "replica and replicas exclude each other: put all into replicas");
    }
    if (section.replicas.empty()) {
      Error(section.place,
            "an entry of dbs needs a replica, such as replica: {url: file:///backup/app}");
    }
    const bool any_marked = std::ranges::any_of(
        section.replicas, [](const ReplicaSection& r) { return r.required.value_or(false); });
    for (const ReplicaSection& replica_section : section.replicas) {
      Replica replica = MakeReplica(section, replica_section);
      replica.required = replica_section.required.value_or(!any_marked);
      database.replicas.push_back(std::move(replica));
    }
    for (const Replica& replica : database.replicas) {
      const Replica& first = database.replicas.front();
      if (replica.page_encoding == first.page_encoding) continue;
      Error(replica.place,
            fmt::format("page-encoding differs from that of the replica in line {}: the replicas "
                        "of a database are made from the same files, so give both the same",
                        first.place.line));
    }
    if (!section.replicas.empty() && std::ranges::none_of(database.replicas, &Replica::required)) {
      Error(section.place,
            "every replica is marked required: false, so that nothing would ever count as durable");
    }
  }

  Replica MakeReplica(const DatabaseSection& database, const ReplicaSection& section) {
    Replica replica;
    replica.place = section.place;
    if (section.name) replica.name = section.name->value;
    const ReplicaSettings& own = section.settings;
    replica.sync_interval =
        FirstOf(replica.sync_interval,
                {own.sync_interval, database.settings.sync_interval, top_.settings.sync_interval});
    replica.page_encoding =
        FirstOf(replica.page_encoding,
                {own.page_encoding, database.settings.page_encoding, top_.settings.page_encoding});
    replica.max_sync_ltx_files = static_cast<std::uint32_t>(FirstOf<std::int64_t>(
        replica.max_sync_ltx_files, {own.max_sync_ltx_files, top_.settings.max_sync_ltx_files}));
    replica.snapshots.interval =
        FirstOf(replica.snapshots.interval,
                {section.snapshot.interval, database.snapshot.interval, top_.snapshot.interval});
    replica.snapshots.retention =
        FirstOf(replica.snapshots.retention,
                {section.snapshot.retention, database.snapshot.retention, top_.snapshot.retention});
    Locate(section, replica);
    return replica;
  }

  // Type and place, from type, url and path.
  void Locate(const ReplicaSection& section, Replica& replica) {
    const std::string_view scheme = section.url ? SchemeOf(section.url->value) : "";
    std::string_view type = section.type ? std::string_view(section.type->value) : scheme;
    const Place place = section.type  ? section.type->place
                        : section.url ? section.url->place
                                      : section.place;
    if (section.type && !scheme.empty() && type != scheme) {
      Error(place, fmt::format("type is {}, and the scheme of url is {}: remove one",
                               RedactUrl(type).substr(0, 40), scheme));
      return;
    }
    if (type.empty()) type = "file";
    const auto* later = std::ranges::find(kLaterStores, type,
                                          &std::pair<std::string_view, std::string_view>::first);
    if (later != std::end(kLaterStores)) {
      Error(place, fmt::format("replicas on {} come with a later version; this one has file "
                               "(url: file:///folder) and s3 (url: s3://bucket/path)",
                               later->second));
      return;
    }
    if (type == "s3") {
      WarnOfStoreKeys(section.store_keys);
      LocateS3(section, replica);
      return;
    }
    if (type != "file" && type != "memory") {
      Error(place, fmt::format("unknown type of replica \"{}\": this version has file and s3",
                               RedactUrl(type).substr(0, 40)));
      return;
    }
    WarnOfStoreKeys(section.store_keys);
    WarnOfStoreKeys(section.s3.set);
    if (type == "memory") {
      replica.type = ReplicaType::kMemory;
      diagnostics_.AddWarning(place, "a memory replica is gone when the daemon ends: no backup");
      return;
    }
    LocateFile(section, replica);
  }

  void LocateS3(const ReplicaSection& section, Replica& replica) {
    has_s3_ = true;
    replica.type = ReplicaType::kS3;
    replica.s3 = MergeS3Keys(section.s3.keys, top_.s3.keys);
    const S3Keys& keys = replica.s3;
    if (section.url) {
      replica.url = section.url->value;
      // What the URL names is its own; a bucket for all replicas is for those without.
      if (section.path || section.s3.keys.bucket) {
        Error(section.url->place, "url and path or bucket exclude each other: keep the url");
      }
      replica.s3.bucket.reset();
    } else if (!keys.bucket) {
      Error(section.place, "a replica in S3 needs a url, such as url: s3://bucket/path");
      return;
    }
    if (section.path) replica.path = section.path->value;
    if (keys.sse_kms_key_id && (keys.sse_customer_key || keys.sse_customer_key_path)) {
      Error(section.place, "sse-kms-key-id and sse-customer-key exclude each other: keep one");
    }
    if (keys.sse_customer_key && keys.sse_customer_key_path) {
      Error(section.place, "sse-customer-key and sse-customer-key-path are the same: keep one");
    }
    if (keys.access_key_id.has_value() != keys.secret_access_key.has_value()) {
      Error(section.place, "access-key-id and secret-access-key go together: write both or none");
    }
    const std::string name = section.url ? replica.url
                                         : fmt::format("s3://{}/{}?endpoint={}", *keys.bucket,
                                                       replica.path, keys.endpoint.value_or(""));
    ClaimName(replicas_, name, section.url ? section.url->place : section.place,
              "the replica path");
  }

  void LocateFile(const ReplicaSection& section, Replica& replica) {
    std::optional<Text> path = section.path;
    if (path && !SchemeOf(path->value).empty()) {
      Error(path->place, "path looks like a URL: write it as url");
      return;
    }
    if (section.url && path) {
      Error(section.url->place, "url and path exclude each other: keep one");
      return;
    }
    if (section.url) path = FilePathOf(*section.url);
    if (!section.url && !path) {
      Error(section.place, "a replica needs a url, such as url: file:///backup/app");
    }
    if (!path) return;
    replica.path = reader_.AbsolutePath(path->value);
    ClaimName(replicas_, replica.path, path->place, "the replica path");
  }

  // Nothing, with an error added, if it is none.
  std::optional<Text> FilePathOf(const Text& url) {
    if (SchemeOf(url.value).empty()) return url;
    std::string_view rest = std::string_view(url.value).substr(std::string_view("file:").size());
    if (const std::size_t query = rest.find_first_of("?#"); query != rest.npos) {
      diagnostics_.AddWarning(url.place, "what follows '?' or '#' has no effect in a file URL");
      rest = rest.substr(0, query);
    }
    if (rest.starts_with("//")) {
      rest.remove_prefix(2);
      if (rest.starts_with("localhost/")) rest.remove_prefix(std::string_view("localhost").size());
      if (!rest.starts_with('/')) {
        Error(url.place, "a file URL has no host: write file:///folder, with three slashes");
        return std::nullopt;
      }
    }
    std::optional<std::string> path = PercentDecoded(rest);
    if (!path || path->empty()) {
      Error(url.place,
            "not a file URL: a '%' must be followed by two hex digits, and the folder "
            "must not be empty");
      return std::nullopt;
    }
    return Text{*std::move(path), url.place};
  }

  using Names = std::map<std::string, Place>;

  // Two of one name would write over each other.
  void ClaimName(Names& names, const std::string& name, Place place, std::string_view what) {
    const auto [first, added] = names.emplace(name, place);
    if (added) return;
    Error(place, fmt::format("{} {} is there already, in line {}: each needs its own", what,
                             RedactUrl(name), first->second.line));
  }

  const TopSection& top_;
  ValueReader& reader_;
  Diagnostics& diagnostics_;
  Names databases_;
  Names replicas_;
  bool has_s3_ = false;
};

}  // namespace

Config Resolve(const TopSection& top, ValueReader& reader) { return Resolver(top, reader).Run(); }

}  // namespace runnel::config
