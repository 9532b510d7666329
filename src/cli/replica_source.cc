#include "cli/replica_source.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "cli/s3_settings.h"
#include "config/diagnostic.h"
#include "config/parse_config.h"
#include "fs/file_operations.h"
#include "store/file_store.h"

namespace runnel::cli {
namespace {

constexpr std::string_view kDefaultConfig = "/etc/litestream.yml";
constexpr std::size_t kConfigSizeMax = std::size_t{16} << 20;
constexpr std::string_view kS3Scheme = "s3://";
constexpr std::string_view kFileScheme = "file://";

std::string Lookup(const config::Environment& environment, std::string_view name) {
  const auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

// Where `path` lies below what the entry names: empty if it is the entry's own database, nothing if
// it does not belong to it.
std::optional<fs::Path> RelativePathIn(const config::Database& entry, const fs::Path& path) {
  if (const auto* single = std::get_if<config::SingleDatabase>(&entry.source)) {
    return single->path == path ? std::optional(fs::Path()) : std::nullopt;
  }
  const auto& directory = std::get<config::DatabaseDirectory>(entry.source);
  const fs::Path relative = path.lexically_relative(directory.directory);
  if (relative.empty() || *relative.begin() == ".." || relative == ".") return std::nullopt;
  if (relative.has_parent_path() && !directory.recursive) return std::nullopt;
  if (::fnmatch(directory.pattern.c_str(), relative.filename().c_str(), 0) != 0) {
    return std::nullopt;
  }
  return relative;
}

std::string ConfigPath(const Process& process, const ConfigFlags& flags) {
  if (!flags.path.empty()) return flags.path;
  const std::string from_environment = Lookup(process.environment, "LITESTREAM_CONFIG");
  return from_environment.empty() ? std::string(kDefaultConfig) : from_environment;
}

}  // namespace

void ConfigFlags::AddTo(FlagSet& flags) {
  flags.Text("config", path, "PATH",
             "the configuration file; LITESTREAM_CONFIG, else /etc/litestream.yml");
  flags.Toggle("no-expand-env", no_expand_env, "take $NAME in the configuration as it is written");
}

Result<config::Config> LoadConfig(Process& process, const ConfigFlags& flags) {
  const std::string path = ConfigPath(process, flags);
  auto text = fs::ReadFile(process.fs, path, kConfigSizeMax);
  if (!text) {
    if (text.error().code() != Errc::kNotFound) return Fail(std::move(text).error());
    return Fail(Errc::kNotFound,
                fmt::format("there is no configuration file {}: make one, name one with -config, "
                            "or give database and replica on the command line",
                            path));
  }
  config::ParsedConfig parsed =
      config::ParseConfig(AsText(*text), {.strictness = process.strictness,
                                          .expansion = flags.no_expand_env == Switch::kOn
                                                           ? config::Expansion::kNone
                                                           : config::Expansion::kEnvironment,
                                          .environment = process.environment,
                                          .working_directory = process.working_directory});
  std::string errors;
  for (const config::Diagnostic& diagnostic : parsed.diagnostics) {
    const std::string line = config::FormatDiagnostic(path, diagnostic);
    if (diagnostic.severity == config::Severity::kWarning) {
      process.err(line + "\n");
    } else {
      errors += "\n" + line;
    }
  }
  if (!parsed.config) {
    return Fail(Errc::kInvalidArgument, "the configuration cannot be used:" + errors);
  }
  return *std::move(parsed.config);
}

bool IsReplicaUrl(const std::string& argument) {
  const std::size_t colon = argument.find("://");
  return colon != std::string::npos && colon > 0 &&
         std::ranges::all_of(argument.substr(0, colon), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_';
         });
}

Result<config::Replica> ReplicaOfUrl(const std::string& url) {
  if (url.starts_with(kS3Scheme)) return S3ReplicaOfUrl(url);
  if (!url.starts_with(kFileScheme)) {
    return Fail(Errc::kUnsupported,
                fmt::format("{}: this version replicates to folders (file:///path) and to S3 "
                            "(s3://bucket/path); other stores come with a later one",
                            url.substr(0, url.find("://") + 3)));
  }
  const std::string path = url.substr(kFileScheme.size());
  if (path.empty() || path.front() != '/') {
    return Fail(Errc::kInvalidArgument,
                fmt::format("{}: a file URL has three slashes and an absolute path: "
                            "file:///srv/backup/app",
                            url));
  }
  config::Replica replica;
  replica.path = path;
  return replica;
}

ReplicaSources::ReplicaSources(Process& process)
    : log_(std::make_unique<NullLogger>()), s3_(std::make_unique<S3Stores>(process, *log_)) {}

Result<void> ReplicaSources::Add(Process& process, const config::Replica& replica,
                                 const fs::Path& relative, std::string name) {
  if (replica.type == config::ReplicaType::kMemory) return {};
  Replica added{.name = std::move(name), .store = {}, .layout = {}};
  auto layout = store::LayoutKind::kTree;
  if (replica.type == config::ReplicaType::kS3) {
    auto opened = s3_->Open(replica, relative);
    if (!opened) return Fail(std::move(opened).error().Context(RedactUrl(replica.url)));
    added.store = std::move(opened->store);
    layout = store::LayoutKind::kFlat;
    if (added.name.empty()) added.name = added.store->location();
  } else {
    const fs::Path folder = relative.empty() ? fs::Path(replica.path) : replica.path / relative;
    added.store = std::make_shared<store::FileStore>(process.fs, folder, store::FileStoreOptions{},
                                                     process.clock, process.random);
    if (added.name.empty()) added.name = folder.string();
  }
  added.layout = std::make_unique<store::ReplicaLayout>(layout, "");
  replicas_.push_back(std::move(added));
  return {};
}

Result<ReplicaSources> ReplicaSources::Open(Process& process, const std::string& argument,
                                            const ConfigFlags& flags) {
  ReplicaSources sources(process);
  if (IsReplicaUrl(argument)) {
    if (!flags.path.empty()) {
      return Fail(Errc::kInvalidArgument, "-config is of no use with a replica URL");
    }
    RUNNEL_TRY(const config::Replica replica, ReplicaOfUrl(argument));
    RUNNEL_TRY_VOID(sources.Add(process, replica, {}, RedactUrl(argument)));
    return sources;
  }
  RUNNEL_TRY(const config::Config config, LoadConfig(process, flags));
  const std::string wanted =
      (fs::Path(process.working_directory) / argument).lexically_normal().string();
  for (const config::Database& database : config.databases) {
    const auto relative = RelativePathIn(database, wanted);
    if (!relative) continue;
    sources.database_path_ = wanted;
    for (const config::Replica& replica : database.replicas) {
      RUNNEL_TRY_VOID(sources.Add(process, replica, *relative, replica.name));
    }
    return sources;
  }
  return Fail(Errc::kInvalidArgument, fmt::format("database not found in config: {} is not in {}",
                                                  wanted, ConfigPath(process, flags)));
}

std::vector<restore::Destination> ReplicaSources::destinations() const {
  std::vector<restore::Destination> destinations;
  for (const Replica& replica : replicas_) {
    destinations.push_back(
        {.name = replica.name,
         .source = {.store = replica.store.get(), .layout = replica.layout.get()}});
  }
  return destinations;
}

}  // namespace runnel::cli
