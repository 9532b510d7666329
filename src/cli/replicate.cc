#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <variant>

#include "base/version.h"
#include "cli/command.h"
#include "cli/replica_source.h"
#include "cli/spec.h"
#include "fs/inotify_watcher.h"
#include "runtime/process_limits.h"
#include "runtime/signals.h"
#include "runtime/text_logger.h"
#include "runtime/thread_scheduler.h"
#include "server/daemon.h"

namespace runnel::cli {
namespace {

constexpr std::string_view kText =
    "Keeps copies of live databases, until it is told to stop (SIGTERM, or Ctrl-C). The databases\n"
    "are those of the configuration file, or one database and its replica URLs on the command\n"
    "line. Applications need no change. Nothing is written into their databases, but for the "
    "switch\n"
    "to WAL mode of one that is not in it (journal-mode: require refuses such a one instead).";

struct ReplicateFlags {
  ConfigFlags config;
  std::string log_level;
  Switch once = Switch::kOff;
};

// At rest a database keeps open its file, its WAL, its -shm, and the lock of its state; at work,
// and at a start all are at work, the WAL several times over.
constexpr std::uint64_t kDescriptorsPerDatabase = 8;
constexpr std::uint64_t kDescriptorsForUs = 128;

void Declare(FlagSet& flags, ReplicateFlags& values) {
  values.config.AddTo(flags);
  flags.Toggle("once", values.once, "bring the replicas up to date, and end");
  flags.Text("log-level", values.log_level, "trace|debug|info|warn|error",
             "what to log; before LOG_LEVEL and the configuration");
  flags.Example("runnel replicate /srv/app.db file:///backup/app", "one database to one folder");
  flags.Example("runnel replicate -config /etc/runnel.yml", "everything in the configuration");
}

Result<config::Config> ConfigOf(Process& process, const ReplicateFlags& flags,
                                const std::vector<std::string>& arguments) {
  if (arguments.empty()) return LoadConfig(process, flags.config);
  if (!flags.config.path.empty()) {
    return Fail(Errc::kInvalidArgument, "give either -config, or a database and its replica URLs");
  }
  if (arguments.size() < 2) {
    return Fail(Errc::kInvalidArgument,
                fmt::format("{}: where to? Write: runnel replicate {} file:///backup/app",
                            arguments.front(), arguments.front()));
  }
  return ConfigForArguments(process, arguments);
}

Result<LogLevel> ParseLogLevel(const std::string& text) {
  constexpr std::array kLevels = {LogLevel::kTrace, LogLevel::kDebug, LogLevel::kInfo,
                                  LogLevel::kWarn, LogLevel::kError};
  std::string upper = text;
  for (char& c : upper) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  for (const LogLevel level : kLevels) {
    if (LogLevelName(level) == upper) return level;
  }
  return Fail(Errc::kInvalidArgument,
              fmt::format("log level '{}': trace, debug, info, warn or error", text));
}

Result<LogLevel> LevelOf(const Process& process, const ReplicateFlags& flags,
                         const config::Config& config) {
  if (!flags.log_level.empty()) return ParseLogLevel(flags.log_level);
  const auto from_environment = process.environment.find("LOG_LEVEL");
  if (from_environment != process.environment.end()) {
    return ParseLogLevel(from_environment->second);
  }
  return config.logging.level;
}

// Waits for the signal to stop. A second one ends the process at once.
Result<void> AwaitStop(runtime::SignalReceiver& signals, Logger& log) {
  for (;;) {
    RUNNEL_TRY(const std::optional<runtime::Signal> signal, signals.Wait());
    if (!signal) continue;
    if (*signal == runtime::Signal::kHangUp) {
      log.Warn("SIGHUP: reading the configuration again comes with a later version");
      continue;
    }
    log.Info("signal received, runnel shutting down");
    return {};
  }
}

// From now on a signal ends the process at once.
class AbortOnSignal {
 public:
  AbortOnSignal(runtime::SignalReceiver& signals, Logger& log, std::string_view message)
      : signals_(signals), thread_([this, &log, message] {
          for (;;) {
            const auto signal = signals_.Wait();
            if (!signal || !*signal) return;
            if (**signal == runtime::Signal::kHangUp) continue;
            log.Warn(message);
            ::_exit(1);
          }
        }) {}
  ~AbortOnSignal() {
    signals_.Interrupt();
    thread_.join();
  }

 private:
  runtime::SignalReceiver& signals_;
  std::thread thread_;
};

Result<void> Run(Process& process, const ReplicateFlags& flags, const config::Config& config,
                 Logger& log) {
  runtime::LimitHeapRegions();
  RUNNEL_TRY(auto signals, runtime::SignalReceiver::Install());
  RUNNEL_TRY(const runtime::DescriptorLimit limit, runtime::RaiseDescriptorLimit());
  S3Stores s3(process, log);
  RUNNEL_TRY(std::vector<server::DatabaseSpec> specs, SpecsOf(process, s3, config));
  RUNNEL_TRY_VOID(runtime::RequireDescriptors(
      limit.now, kDescriptorsForUs + specs.size() * kDescriptorsPerDatabase));
  RUNNEL_TRY(auto scheduler, runtime::ThreadScheduler::Start(process.clock, {}));
  RUNNEL_TRY(auto watcher, fs::InotifyWatcher::Make());

  server::DaemonOptions options = DaemonOptionsOf(config);
  options.databases_max = (limit.now - kDescriptorsForUs) / kDescriptorsPerDatabase;
  server::Daemon daemon(std::move(options), {.fs = process.fs,
                                             .watcher = *watcher,
                                             .clock = process.clock,
                                             .random = process.random,
                                             .log = log,
                                             .scheduler = *scheduler});
  log.Info("runnel", {{"version", GetBuildInfo().version}, {"databases", specs.size()}});
  RUNNEL_TRY_VOID(daemon.SelfTest());
  std::vector<server::FollowedDirectory> watched = WatchedDirectories(process, s3, config);
  if (specs.empty() && (watched.empty() || flags.once == Switch::kOn)) {
    return Fail(Errc::kNotFound, "there is no database to replicate; see docs/configuration.md");
  }
  for (server::DatabaseSpec& spec : specs) {
    for (server::ReplicaSpec& replica : spec.replicas) {
      // A single run is done when all is everywhere.
      if (flags.once == Switch::kOn) {
        replica.settings.importance = replicate::Importance::kRequired;
      }
      log.Info("replicating to",
               {{"path", spec.capture.database.string()},
                {"type", replica.store ? replica.store->kind() : "file"},
                {"replica", replica.store ? replica.store->location() : replica.folder.string()}});
    }
    RUNNEL_TRY_VOID(daemon.Add(std::move(spec)));
  }
  if (flags.once == Switch::kOn) {
    const AbortOnSignal abort(*signals, log, "signal received, stopping before all is replicated");
    auto synced = daemon.SyncAll();
    auto stopped = daemon.Abandon();
    RUNNEL_TRY_VOID(synced);
    RUNNEL_TRY_VOID(stopped);
  } else {
    for (server::FollowedDirectory& directory : watched) daemon.Follow(std::move(directory));
    RUNNEL_TRY_VOID(AwaitStop(*signals, log));
    const AbortOnSignal abort(*signals, log,
                              "second signal received, stopping without the final sync");
    RUNNEL_TRY_VOID(daemon.Stop());
  }
  log.Info("runnel shut down");
  return {};
}

}  // namespace

Result<void> RunReplicate(Process& process, std::span<const std::string> arguments) {
  ReplicateFlags values;
  FlagSet flags("runnel replicate [flags] [DB URL...]", std::string(kText));
  Declare(flags, values);
  RUNNEL_TRY(const auto rest, ParseOrHelp(flags, process, arguments));
  RUNNEL_TRY(const config::Config config, ConfigOf(process, values, rest));
  RUNNEL_TRY(const LogLevel level, LevelOf(process, values, config));
  runtime::TextLogger log(
      process.clock,
      config.logging.stream == config::LogStream::kStderr ? STDERR_FILENO : STDOUT_FILENO,
      config.logging.style == config::LogStyle::kJson ? runtime::LogFormat::kJson
                                                      : runtime::LogFormat::kText,
      level);
  return Run(process, values, config, log);
}

}  // namespace runnel::cli
