#include "cli/spec.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "cli/replica_source.h"
#include "fs/system_paths.h"
#include "sqlite/open_registry.h"

namespace runnel::cli {
namespace {

constexpr std::string_view kStateSuffix = "-litestream";

// Where Litestream has it.
fs::Path StateBeside(const fs::Path& database) {
  return database.parent_path() / ("." + database.filename().string() + std::string(kStateSuffix));
}

replicate::DestinationSettings SettingsOf(const config::Replica& replica,
                                          const config::Config& config) {
  const std::string& place = replica.url.empty() ? replica.path : replica.url;
  return {.name = replica.name.empty() ? RedactUrl(place) : replica.name,
          .importance = replica.required ? replicate::Importance::kRequired
                                         : replicate::Importance::kOptional,
          .sync_interval = replica.sync_interval,
          .level_intervals = config.level_intervals,
          .snapshot_interval = replica.snapshots.interval,
          .snapshot_retention = replica.snapshots.retention,
          .l0_retention = config.l0_retention,
          .deletion = config.retention_enabled ? replicate::DeletionMode::kByAge
                                               : replicate::DeletionMode::kNever};
}

Result<server::ReplicaSpec> ReplicaSpecOf(S3Stores& s3, const config::Replica& replica,
                                          const config::Config& config, const fs::Path& relative) {
  server::ReplicaSpec spec{.settings = SettingsOf(replica, config)};
  if (replica.type == config::ReplicaType::kS3) {
    auto opened = s3.Open(replica, relative);
    if (!opened) {
      const std::string where =
          replica.place.line > 0 ? fmt::format("line {}", replica.place.line) : spec.settings.name;
      return Fail(std::move(opened).error().Context(where));
    }
    spec.store = std::move(opened->store);
    spec.stop_store = std::move(opened->stop);
    return spec;
  }
  spec.folder = replica.path;
  if (!relative.empty()) spec.folder = spec.folder / relative;
  return spec;
}

// `relative`: of a database below its directory; empty for a single one.
Result<server::DatabaseSpec> MakeSpec(S3Stores& s3, const config::Config& config,
                                      const config::Database& database, const fs::Path& path,
                                      const fs::Path& state, const fs::Path& relative) {
  capture::DatabaseOptions capture;
  capture.database = path;
  capture.state_folder = state;
  capture.sync_interval = database.cut_interval();
  capture.checkpoint.threshold_frames = database.min_checkpoint_page_count;
  capture.checkpoint.hard_bound = database.hard_bound_page_count;
  capture.checkpoint.interval = database.checkpoint_interval;
  capture.journal_mode = database.journal_mode == config::JournalMode::kRequire
                             ? capture::JournalModePolicy::kRequire
                             : capture::JournalModePolicy::kSwitch;
  capture.max_staging_bytes = database.max_staging_bytes;
  if (!database.replicas.empty() &&
      database.replicas.front().page_encoding == config::PageEncoding::kFrame) {
    capture.encoding = ltx::PageEncoding::kFrame;
  }
  server::DatabaseSpec spec{.capture = std::move(capture), .replicas = {}};
  for (const config::Replica& replica : database.replicas) {
    RUNNEL_TRY(auto replica_spec, ReplicaSpecOf(s3, replica, config, relative));
    spec.replicas.push_back(std::move(replica_spec));
  }
  return spec;
}

// By the real path: a database has one state, whichever link it is reached through, and so one
// daemon.
Result<fs::Path> StateOf(const config::SingleDatabase& database) {
  if (database.meta_path) return fs::Path(*database.meta_path);
  RUNNEL_TRY(const fs::Path real, fs::RealPath(database.path));
  return StateBeside(real);
}

fs::Path StateOf(const config::DatabaseDirectory& directory, const fs::Path& relative) {
  if (directory.meta_dir) {
    return fs::Path(*directory.meta_dir) / (relative.string() + std::string(kStateSuffix));
  }
  if (directory.meta_path) return StateBeside(fs::Path(*directory.meta_path) / relative);
  return StateBeside(fs::Path(directory.directory) / relative);
}

// Below a directory, by their paths relative to it, in order.
struct Found {
  std::vector<fs::Path> folders;  // that were looked through
  std::vector<fs::Path> databases;
};

Result<void> FindDatabases(Process& process, sqlite::OpenRegistry& registry,
                           const config::DatabaseDirectory& directory, const fs::Path& below,
                           Found& found) {
  auto listed = process.fs.List(fs::Path(directory.directory) / below);
  const bool is_gone = !listed && listed.error().code() == Errc::kNotFound;
  if (is_gone && !below.empty()) return {};  // meanwhile
  RUNNEL_TRY(std::vector<fs::DirectoryEntry> entries, std::move(listed));
  found.folders.push_back(below);
  std::ranges::sort(entries, {}, &fs::DirectoryEntry::name);
  for (const fs::DirectoryEntry& entry : entries) {
    const fs::Path relative = below / entry.name;
    if (entry.type == fs::FileType::kDirectory) {
      if (!directory.recursive || entry.name.ends_with(kStateSuffix)) continue;
      RUNNEL_TRY_VOID(FindDatabases(process, registry, directory, relative, found));
      continue;
    }
    if (::fnmatch(directory.pattern.c_str(), entry.name.c_str(), 0) != 0) continue;
    auto file = registry.Inspect(fs::Path(directory.directory) / relative);
    const bool is_kept = !file && file.error().code() == Errc::kAlreadyExists;
    if (is_kept || (file && file->kind == sqlite::FileKind::kSqlite)) {
      found.databases.push_back(relative);
    }
  }
  return {};
}

// What it returns refers to all that is given.
Result<server::DirectoryContent> LookInto(Process& process, S3Stores& s3,
                                          sqlite::OpenRegistry& registry,
                                          const config::Config& config,
                                          const config::Database& database) {
  const auto& directory = std::get<config::DatabaseDirectory>(database.source);
  Found found;
  RUNNEL_TRY_VOID(FindDatabases(process, registry, directory, {}, found));
  const fs::Path root = directory.directory;
  server::DirectoryContent content;
  for (const fs::Path& below : found.folders) {
    content.folders.push_back(below.empty() ? root : root / below);
  }
  for (const fs::Path& relative : found.databases) {
    content.databases.push_back(
        {.path = root / relative, .make = [&s3, &config, &database, &directory, root, relative] {
           return MakeSpec(s3, config, database, root / relative, StateOf(directory, relative),
                           relative);
         }});
  }
  return content;
}

Result<void> CheckReplicaTypes(const config::Database& database) {
  for (const config::Replica& replica : database.replicas) {
    if (replica.type != config::ReplicaType::kMemory) continue;
    return Fail(Errc::kUnsupported,
                fmt::format("line {}: a replica of type memory is for tests of the engine; name a "
                            "folder: url: file:///backup/app",
                            replica.place.line));
  }
  return {};
}

}  // namespace

Result<config::Config> ConfigForArguments(Process& process,
                                          const std::vector<std::string>& arguments) {
  config::Database database;
  const fs::Path path =
      (fs::Path(process.working_directory) / arguments.front()).lexically_normal();
  database.source = config::SingleDatabase{.path = path.string(), .meta_path = {}};
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    if (!IsReplicaUrl(arguments[i])) {
      return Fail(
          Errc::kInvalidArgument,
          fmt::format("{}: a replica is named by a URL, e.g. file:///backup/app", arguments[i]));
    }
    RUNNEL_TRY(auto replica, ReplicaOfUrl(arguments[i]));
    database.replicas.push_back(std::move(replica));
  }
  config::Config config;
  config.databases.push_back(std::move(database));
  return config;
}

server::DaemonOptions DaemonOptionsOf(const config::Config& config) {
  return {.allowed_file_systems = config.allowed_file_systems,
          .final_sync_timeout = config.shutdown_sync_timeout};
}

Result<std::vector<server::DatabaseSpec>> SpecsOf(Process& process, S3Stores& s3,
                                                  const config::Config& config) {
  sqlite::OpenRegistry registry(process.fs);  // before any database is open
  std::vector<server::DatabaseSpec> specs;
  for (const config::Database& database : config.databases) {
    RUNNEL_TRY_VOID(CheckReplicaTypes(database));
    if (const auto* single = std::get_if<config::SingleDatabase>(&database.source)) {
      const fs::Path path = single->path;
      RUNNEL_TRY(const fs::Path state, StateOf(*single));
      RUNNEL_TRY(auto spec, MakeSpec(s3, config, database, path, state, {}));
      specs.push_back(std::move(spec));
      continue;
    }
    RUNNEL_TRY(const server::DirectoryContent content,
               LookInto(process, s3, registry, config, database));
    for (const server::FoundDatabase& found : content.databases) {
      RUNNEL_TRY(auto spec, found.make());
      specs.push_back(std::move(spec));
    }
  }
  return specs;
}

std::vector<server::FollowedDirectory> WatchedDirectories(Process& process, S3Stores& s3,
                                                          const config::Config& config) {
  std::vector<server::FollowedDirectory> watched;
  for (const config::Database& database : config.databases) {
    const auto* directory = std::get_if<config::DatabaseDirectory>(&database.source);
    if (directory == nullptr || !directory->watch) continue;
    watched.push_back(
        {directory->directory, [&process, &s3, &config, &database](sqlite::OpenRegistry& registry) {
           return LookInto(process, s3, registry, config, database);
         }});
  }
  return watched;
}

}  // namespace runnel::cli
