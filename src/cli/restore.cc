#include "restore/restore.h"

#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress_bar.h"
#include "cli/replica_source.h"
#include "cli/table.h"
#include "cli/time_text.h"
#include "runtime/text_logger.h"
#include "sqlite/integrity.h"

namespace runnel::cli {
namespace {

constexpr std::string_view kText =
    "Brings a database back: the newest state, or the one of a txid or a time. The file appears\n"
    "at its place only when it is whole and proven; an existing database is not overwritten.\n\n"
    "DB is a database of the configuration file; a URL such as file:///srv/backup/app names a\n"
    "replica directly and needs -o. Where a database has several replicas, the best one is used,\n"
    "and the next one if that fails.";

struct RestoreFlags {
  ConfigFlags config;
  std::string output;
  std::string txid;
  std::string timestamp;
  std::string chain = "strict";
  std::string integrity_check = "none";
  int parallelism = 8;
  Switch if_db_not_exists = Switch::kOff;
  Switch if_replica_exists = Switch::kOff;
  Switch dry_run = Switch::kOff;
  Switch force = Switch::kOff;
  Switch json = Switch::kOff;
};

void Declare(FlagSet& flags, RestoreFlags& values) {
  values.config.AddTo(flags);
  flags.Text("o", values.output, "PATH", "where to put the database; needed with a URL");
  flags.Text("txid", values.txid, "TXID", "the state of this txid, 16 hex digits");
  flags.Text("timestamp", values.timestamp, "TIME",
             "the newest state before this time, e.g. 2026-08-19T14:00:00Z");
  flags.Number("parallelism", values.parallelism, "N", "threads that read and write, 1 to 64");
  flags.Toggle("if-db-not-exists", values.if_db_not_exists,
               "succeed without doing anything if the database is there");
  flags.Toggle("if-replica-exists", values.if_replica_exists,
               "succeed without doing anything if there is nothing to restore");
  flags.Toggle("dry-run", values.dry_run, "show what would be read, and read nothing");
  flags.Toggle("force", values.force, "replace a database that is there");
  flags.Text("chain", values.chain, "strict|up-to-break|ignore",
             "what to do where files do not follow from each other");
  flags.Text("integrity-check", values.integrity_check, "none|quick|full",
             "run SQLite's own check before the file takes its place");
  flags.Toggle("json", values.json, "print the result as JSON");
  flags.Refused("f", "following a replica comes with live replicas, in a later version");
  flags.Example("runnel restore -o /tmp/app.db file:///srv/backup/app",
                "the newest state, from a replica in a folder");
  flags.Example("runnel restore -timestamp 2026-08-19T14:00:00Z -o /tmp/app.db /srv/app.db",
                "the state before 14:00, of a database in the configuration");
  flags.Example("runnel restore -if-db-not-exists -if-replica-exists /srv/app.db",
                "in a start script: nothing happens if there is a database, or no backup yet");
}

Result<restore::Target> ParseTarget(const RestoreFlags& flags) {
  if (!flags.txid.empty() && !flags.timestamp.empty()) {
    return Fail(Errc::kInvalidArgument, "-txid and -timestamp exclude each other");
  }
  if (!flags.txid.empty()) {
    const auto txid = ParseTxid(flags.txid);
    if (!txid) {
      return Fail(Errc::kInvalidArgument,
                  fmt::format("-txid {}: a txid has exactly 16 hex digits, e.g. 000000000000002a",
                              flags.txid));
    }
    return restore::Target::AtTxid(*txid);
  }
  if (!flags.timestamp.empty()) {
    const auto time = ParseTime(flags.timestamp);
    if (!time) {
      return Fail(Errc::kInvalidArgument,
                  fmt::format("-timestamp {}: a time is written 2026-08-19T14:00:00Z or "
                              "2026-08-19T16:00:00+02:00",
                              flags.timestamp));
    }
    return restore::Target::Before(*time);
  }
  return restore::Target::Latest();
}

Result<restore::ChainPolicy> ParseChainPolicy(const std::string& text) {
  if (text == "strict") return restore::ChainPolicy::kStrict;
  if (text == "up-to-break") return restore::ChainPolicy::kUpToBreak;
  if (text == "ignore") return restore::ChainPolicy::kIgnore;
  return Fail(Errc::kInvalidArgument,
              fmt::format("-chain {}: strict, up-to-break or ignore", text));
}

Result<std::function<Result<void>(const fs::Path&)>> ParseCheck(const std::string& text) {
  if (text == "none") return nullptr;
  if (text == "quick") {
    return [](const fs::Path& path) {
      return sqlite::CheckIntegrity(path, sqlite::IntegrityCheck::kQuick);
    };
  }
  if (text == "full") {
    return [](const fs::Path& path) {
      return sqlite::CheckIntegrity(path, sqlite::IntegrityCheck::kFull);
    };
  }
  return Fail(Errc::kInvalidArgument,
              fmt::format("-integrity-check {}: none, quick or full", text));
}

void PrintPlan(Process& process, const RestoreFlags& flags, const restore::Candidate& best,
               const std::string& output) {
  const restore::Plan& plan = best.plan;
  if (flags.json == Switch::kOn) {
    nlohmann::ordered_json files = nlohmann::ordered_json::array();
    for (const restore::LtxFile& file : plan.files) {
      files.push_back({{"level", ToInt(file.level)},
                       {"name", store::LtxFileName(file.range)},
                       {"min_txid", FormatTxid(file.range.min)},
                       {"max_txid", FormatTxid(file.range.max)},
                       {"size", file.size_bytes},
                       {"timestamp", restore::FormatTime(file.timestamp)}});
    }
    const nlohmann::ordered_json document = {{"source", best.destination.source.Location()},
                                             {"target_path", output},
                                             {"replica", best.destination.name},
                                             {"min_txid", FormatTxid(plan.files.front().range.min)},
                                             {"max_txid", FormatTxid(plan.txid())},
                                             {"files", files}};
    process.out(document.dump(2) + "\n");
    return;
  }
  process.out(
      fmt::format("source:   {}\ntarget:   {}\nreplica:  {}\nmin txid: {}\nmax txid: {}\n\n",
                  best.destination.source.Location(), output, best.destination.name,
                  FormatTxid(plan.files.front().range.min), FormatTxid(plan.txid())));
  Table table({"level", "file", "min_txid", "max_txid", "size", "timestamp"});
  for (const restore::LtxFile& file : plan.files) {
    table.Add({std::to_string(ToInt(file.level)), store::LtxFileName(file.range),
               FormatTxid(file.range.min), FormatTxid(file.range.max),
               std::to_string(file.size_bytes), restore::FormatTime(file.timestamp)});
  }
  process.out(table.Format());
}

void PrintResult(Process& process, const RestoreFlags& flags, const restore::Report& report,
                 const std::string& output) {
  const auto duration =
      std::chrono::duration_cast<std::chrono::milliseconds>(report.duration).count();
  if (flags.json == Switch::kOff) return;
  const nlohmann::ordered_json document = {
      {"db_path", output},
      {"replica", report.destination},
      {"txid", FormatTxid(report.outcome.txid)},
      {"timestamp", restore::FormatTime(report.outcome.timestamp)},
      {"database_bytes", report.outcome.database_bytes},
      {"duration_ms", duration},
      {"integrity_check", flags.integrity_check}};
  process.out(document.dump(2) + "\n");
}

void Show(ProgressBar& bar, const restore::RestoreProgress& progress) {
  switch (progress.stage) {
    case restore::RestoreStage::kCopying:
      return bar.Show(progress.done_bytes, progress.total_bytes);
    case restore::RestoreStage::kLocating:
      return bar.Say("reading all files to find the damaged one");
    case restore::RestoreStage::kChecking: return bar.Say("checking the database");
    case restore::RestoreStage::kSyncing: return bar.Say("waiting for the disk");
  }
}

bool NothingToRestore(const Error& error) { return error.code() == Errc::kNotFound; }

Result<void> SayNothingToRestore(Logger& log, const std::string& output) {
  log.Info("no matching backups found", {{"path", output}});
  return {};
}

Result<void> Restore(Process& process, const RestoreFlags& flags, const std::string& argument,
                     Logger& log) {
  RUNNEL_TRY(const restore::Target target, ParseTarget(flags));
  restore::ExecuteOptions options;
  RUNNEL_TRY(options.chain_policy, ParseChainPolicy(flags.chain));
  RUNNEL_TRY(options.check, ParseCheck(flags.integrity_check));
  if (flags.parallelism < 1 || flags.parallelism > 64) {
    return Fail(Errc::kInvalidArgument, "-parallelism: 1 to 64");
  }
  options.parallelism = flags.parallelism;

  RUNNEL_TRY(const ReplicaSources sources, ReplicaSources::Open(process, argument, flags.config));
  const std::string output = flags.output.empty() ? sources.database_path() : flags.output;
  if (output.empty()) {
    return Fail(Errc::kInvalidArgument,
                fmt::format("a URL does not say where to put the database; write: runnel restore "
                            "-o PATH {}",
                            argument));
  }
  if (flags.if_db_not_exists == Switch::kOn && process.fs.Stat(output)) {
    log.Info("database already exists, skipping", {{"path", output}});
    return {};
  }
  options.output = output;
  options.output_options.overwrite =
      flags.force == Switch::kOn ? restore::Overwrite::kReplace : restore::Overwrite::kRefuse;
  const Interrupt interrupt;
  options.stop = interrupt.stop_token();

  RUNNEL_TRY_VOID(
      restore::CheckOutput(process.fs, options.output, options.output_options.overwrite));
  ProgressBar bar(process, "restoring");
  LoggerBesideBar log_beside_bar(log, bar);
  restore::Restorer restorer(process.fs, process.clock, log_beside_bar);
  const std::vector<restore::Destination> destinations = sources.destinations();
  const bool none_is_fine = flags.if_replica_exists == Switch::kOn;
  if (flags.dry_run == Switch::kOn) {
    const auto selection = restorer.Select(destinations, target, options.parallelism, options.stop);
    if (!selection && none_is_fine && NothingToRestore(selection.error())) {
      return SayNothingToRestore(log, output);
    }
    if (!selection) return Fail(selection.error());
    PrintPlan(process, flags, selection->candidates.front(), output);
    return {};
  }
  options.on_progress = [&](const restore::RestoreProgress& progress) { Show(bar, progress); };
  bar.Say("reading what is there");
  auto report = restorer.Restore(destinations, target, options);
  bar.Clear();
  if (!report && none_is_fine && NothingToRestore(report.error())) {
    return SayNothingToRestore(log, output);
  }
  if (!report) return Fail(std::move(report).error());
  log.Info("restored", {{"path", output},
                        {"replica", report->destination},
                        {"txid", report->outcome.txid},
                        {"bytes", report->outcome.database_bytes}});
  PrintResult(process, flags, *report, output);
  return {};
}

}  // namespace

Result<void> RunRestore(Process& process, std::span<const std::string> arguments) {
  RestoreFlags values;
  FlagSet flags("runnel restore [flags] DB|URL", std::string(kText));
  Declare(flags, values);
  RUNNEL_TRY(const auto rest, ParseOrHelp(flags, process, arguments));
  if (rest.size() != 1) {
    return Fail(Errc::kInvalidArgument,
                "restore needs one database or URL\nTry: runnel restore -o app.db "
                "file:///srv/backup/app");
  }
  runtime::TextLogger log(process.clock, STDERR_FILENO, runtime::LogFormat::kText, LogLevel::kInfo);
  return Restore(process, values, rest.front(), log);
}

}  // namespace runnel::cli
