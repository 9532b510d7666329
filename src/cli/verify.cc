#include "replicate/verify.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress_bar.h"
#include "cli/replica_source.h"
#include "cli/table.h"

namespace runnel::cli {
namespace {

constexpr std::string_view kText =
    "Reads every object of a replica and proves it: that the listing has no gap on the way to the\n"
    "newest state, that each object is whole, and that each begins where the one before it ended.\n"
    "Reads only; may run beside the daemon. Exits with 1 if anything is wrong.";

struct VerifyFlags {
  ConfigFlags config;
  int parallelism = 4;
  Switch json = Switch::kOff;
};

std::string_view SeverityName(replicate::Severity severity) {
  return severity == replicate::Severity::kError ? "error" : "note";
}

nlohmann::ordered_json ToJson(const std::string& replica, const replicate::VerifyResult& result) {
  nlohmann::ordered_json levels = nlohmann::ordered_json::array();
  for (int level = 0; level < kLevelCount; ++level) {
    const replicate::LevelSummary& summary = result.levels[static_cast<std::size_t>(level)];
    if (summary.file_count == 0) continue;
    levels.push_back({{"level", level},
                      {"files", summary.file_count},
                      {"bytes", summary.total_bytes},
                      {"min_txid", FormatTxid(summary.first)},
                      {"max_txid", FormatTxid(summary.last)}});
  }
  nlohmann::ordered_json findings = nlohmann::ordered_json::array();
  for (const replicate::Finding& finding : result.findings) {
    findings.push_back({{"severity", SeverityName(finding.severity)},
                        {"kind", replicate::FindingKindName(finding.kind)},
                        {"object", finding.object},
                        {"problem", finding.problem},
                        {"cure", finding.cure}});
  }
  return {{"replica", replica},
          {"ok", result.ok()},
          {"newest_txid", FormatTxid(result.newest)},
          {"restorable_txid", FormatTxid(result.restorable)},
          {"files_checked", result.files_checked},
          {"bytes_checked", result.bytes_checked},
          {"files_without_chain", result.files_without_chain},
          {"levels", levels},
          {"findings", findings}};
}

std::string ToText(const std::string& replica, const replicate::VerifyResult& result) {
  std::string text = fmt::format("replica {}\n", replica);
  Table table({"level", "files", "size", "min_txid", "max_txid"});
  for (int level = 0; level < kLevelCount; ++level) {
    const replicate::LevelSummary& summary = result.levels[static_cast<std::size_t>(level)];
    if (summary.file_count == 0) continue;
    table.Add({std::to_string(level), std::to_string(summary.file_count),
               FormatBytes(summary.total_bytes), FormatTxid(summary.first),
               FormatTxid(summary.last)});
  }
  text += table.Format();
  for (const replicate::Finding& finding : result.findings) {
    text += fmt::format("{}: {}: {}; {}\n", SeverityName(finding.severity), finding.object,
                        finding.problem, finding.cure);
  }
  text += fmt::format("{} files, {} read, newest txid {}: {}\n", result.files_checked,
                      FormatBytes(result.bytes_checked), FormatTxid(result.newest),
                      result.ok() ? "ok" : "NOT whole");
  if (result.files_without_chain > 0) {
    text += fmt::format(
        "{} files were written by Litestream: each is whole, but nothing in them "
        "proves that they follow from each other\n",
        result.files_without_chain);
  }
  return text;
}

}  // namespace

Result<void> RunVerify(Process& process, std::span<const std::string> arguments) {
  VerifyFlags values;
  FlagSet flags("runnel verify [flags] DB|URL", std::string(kText));
  values.config.AddTo(flags);
  flags.Number("parallelism", values.parallelism, "N", "objects that are read at once, 1 to 64");
  flags.Toggle("json", values.json, "print the result as JSON");
  flags.Example("runnel verify file:///srv/backup/app", "a replica in a folder");
  RUNNEL_TRY(const auto rest, ParseOrHelp(flags, process, arguments));
  if (rest.size() != 1) {
    return Fail(Errc::kInvalidArgument,
                "verify needs one database or URL\nTry: runnel verify file:///srv/backup/app");
  }
  if (values.parallelism < 1 || values.parallelism > 64) {
    return Fail(Errc::kInvalidArgument, "-parallelism: 1 to 64");
  }
  RUNNEL_TRY(const ReplicaSources sources,
             ReplicaSources::Open(process, rest.front(), values.config));
  const Interrupt interrupt;
  ProgressBar bar(process, "verifying");
  bool ok = true;
  for (const restore::Destination& replica : sources.destinations()) {
    const replicate::VerifyOptions options{
        .parallelism = static_cast<std::size_t>(values.parallelism),
        .progress = [&](const replicate::VerifyProgress& progress) {
          bar.Show(progress.bytes_done, progress.bytes_total);
        }};
    auto result = replicate::VerifyReplica(*replica.source.store, *replica.source.layout, options,
                                           interrupt.stop_token());
    bar.Clear();
    if (!result) return Fail(std::move(result).error().Context(replica.name));
    ok = ok && result->ok();
    process.out(values.json == Switch::kOn ? ToJson(replica.name, *result).dump(2) + "\n"
                                           : ToText(replica.name, *result));
  }
  if (!ok) return Fail(Errc::kCorruption, "the replica is not whole");
  return {};
}

}  // namespace runnel::cli
