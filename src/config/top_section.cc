#include "config/sections.h"

namespace runnel::config {
namespace {

using Rule = KeyRule<TopSection>;
using LoggingRule = KeyRule<LoggingSection>;
using LevelRule = KeyRule<LevelSection>;
using RetentionRule = KeyRule<RetentionSection>;

constexpr std::string_view kLater = "it comes with a later version";

void ReadLevel(ValueReader& reader, const YamlNode& value, LoggingSection& out) {
  static constexpr std::pair<std::string_view, LogLevel> kWords[] = {
      {"trace", LogLevel::kTrace}, {"debug", LogLevel::kDebug},  {"info", LogLevel::kInfo},
      {"warn", LogLevel::kWarn},   {"warning", LogLevel::kWarn}, {"error", LogLevel::kError}};
  YamlNode lower = value;
  for (char& c : lower.text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  reader.ReadWord<LogLevel>(lower, kWords, out.level);
}

void ReadStyle(ValueReader& reader, const YamlNode& value, LoggingSection& out) {
  static constexpr std::pair<std::string_view, LogStyle> kWords[] = {
      {"text", LogStyle::kText}, {"json", LogStyle::kJson}, {"pretty", LogStyle::kText}};
  reader.ReadWord<LogStyle>(value, kWords, out.style);
  if (value.text == "pretty") {
    reader.diagnostics().AddWarning(value.place, "logging.type: pretty is written as text");
  }
}

const LoggingRule kLoggingRules[] = {
    LoggingRule::Honoured("level", ReadLevel),
    LoggingRule::Honoured("type", ReadStyle),
    LoggingRule::Honoured("stderr", [](auto& r, auto& v, auto& s) { r.ReadBool(v, s.to_stderr); }),
    LoggingRule::Warned("source", "lines name no source file"),
};

const LevelRule kLevelRules[] = {
    LevelRule::Honoured(
        "interval",
        [](auto& r, auto& v, auto& s) { r.ReadDuration(v, milliseconds(1), s.interval); }),
};

const RetentionRule kRetentionRules[] = {
    RetentionRule::Honoured("enabled", [](auto& r, auto& v, auto& s) { r.ReadBool(v, s.enabled); }),
};

void ReadLevels(ValueReader& reader, const YamlNode& value, TopSection& out) {
  if (value.kind == YamlNode::Kind::kNull) return;
  if (value.kind != YamlNode::Kind::kList || value.items.empty() ||
      value.items.size() > defaults::kLevelsMax) {
    reader.Bad(value, "a list of 1 to 8 levels, such as '- interval: 30s'");
    return;
  }
  for (const YamlNode& item : value.items) {
    LevelSection level;
    ReadSection<LevelSection>(reader, item, "a level", kLevelRules, level);
    if (!level.interval) {
      reader.diagnostics().AddError(item.place, "a level needs an interval: '- interval: 30s'");
    }
    out.levels.push_back(level.interval.value_or(milliseconds(1)));
  }
}

void ReadDatabases(ValueReader& reader, const YamlNode& value, TopSection& out) {
  if (value.kind == YamlNode::Kind::kNull) return;
  if (value.kind != YamlNode::Kind::kList) {
    reader.Bad(value, "a list: put '- ' before each database");
    return;
  }
  for (const YamlNode& item : value.items) {
    DatabaseSection database;
    database.place = item.place;
    ReadSection<DatabaseSection>(reader, item, "an entry of dbs", DatabaseRules(), database);
    out.databases.push_back(std::move(database));
  }
}

const Rule kRules[] = {
    Rule::Honoured("dbs", ReadDatabases),
    Rule::Honoured("levels", ReadLevels),
    Rule::Honoured("snapshot", [](auto& r, auto& v, auto& s) { ReadSnapshot(r, v, s.snapshot); }),
    Rule::Honoured(
        "l0-retention",
        [](auto& r, auto& v, auto& s) { r.ReadDuration(v, milliseconds(0), s.l0_retention); }),
    Rule::Pending(
        "l0-retention-check-interval",
        [](auto& r, auto& v, auto& s) {
          r.ReadDuration(v, milliseconds(1), s.l0_retention_check_interval);
        },
        "a cut is deleted when its time has come, nothing is polled"),
    Rule::Honoured("retention",
                   [](auto& r, auto& v, auto& s) {
                     ReadSection<RetentionSection>(r, v, "retention", kRetentionRules, s.retention);
                   }),
    Rule::Honoured("shutdown-sync-timeout",
                   [](auto& r, auto& v, auto& s) {
                     r.ReadDuration(v, milliseconds(0), s.shutdown_sync_timeout);
                   }),
    Rule::Pending(
        "shutdown-sync-interval",
        [](auto& r, auto& v, auto& s) {
          r.ReadDuration(v, milliseconds(1), s.shutdown_sync_interval);
        },
        "the last upload is tried again with back-off"),
    Rule::Honoured("logging",
                   [](auto& r, auto& v, auto& s) {
                     ReadSection<LoggingSection>(r, v, "logging", kLoggingRules, s.logging);
                   }),
    Rule::Pending(
        "verify-compaction", [](auto& r, auto& v, auto& s) { r.ReadBool(v, s.verify_compaction); },
        "every compaction refuses files with a gap between them"),
    Rule::Honoured("allow-filesystem",
                   [](auto& r, auto& v, auto& s) { r.ReadWords(v, s.allowed_file_systems); }),
    Rule::Honoured("max-staging-bytes",
                   [](auto& r, auto& v, auto& s) { ReadStaging(r, v, s.max_staging_bytes); }),
    Rule::Honoured("journal-mode",
                   [](auto& r, auto& v, auto& s) { ReadJournalMode(r, v, s.journal_mode); }),
    Rule::Honoured("sync-interval",
                   [](auto& r, auto& v, auto& s) { ReadSyncInterval(r, v, s.settings); }),
    Rule::Honoured("page-encoding",
                   [](auto& r, auto& v, auto& s) { ReadPageEncoding(r, v, s.settings); }),
    Rule::Pending(
        "max-sync-ltx-files",
        [](auto& r, auto& v, auto& s) { ReadMaxSyncLtxFiles(r, v, s.settings); },
        kUploadsAreSingle),
};

const Rule kRulesWithoutEffect[] = {
    Rule::Warned("addr", kLater),
    Rule::Warned("mcp-addr", kLater),
    Rule::Warned("socket", kLater),
    Rule::Warned("heartbeat-url", "it comes with a later version; no heartbeat is sent"),
    Rule::Warned("heartbeat-interval", kLater),
    Rule::Warned("validation", "each object is read back and verified in the background instead"),
    Rule::Warned("validation-interval",
                 "each object is read back and verified in the background instead"),
    Rule::Warned("auto-recover", "a replica that lost continuity is always repaired"),
    Rule::Refused("exec",
                  "comes with a later version, and without it the application would not be "
                  "started: start the two by your service manager"),
    Rule::Refused("age",
                  "client-side encryption is not supported, and without it the copy would be "
                  "readable by whoever can read the store"),
};

std::vector<Rule> MakeRules() {
  std::vector<Rule> rules(std::begin(kRules), std::end(kRules));
  rules.insert(rules.end(), std::begin(kRulesWithoutEffect), std::end(kRulesWithoutEffect));
  AddS3Rules(rules);
  for (const std::string_view key : StoreKeys()) {
    rules.push_back(Rule::Honoured(
        key, [](auto& r, auto& v, auto& s) { s.store_keys.push_back({r.key(), v.place}); }));
  }
  return rules;
}

template <class Section>
void AppendAccepted(std::span<const KeyRule<Section>> rules, const std::string& prefix,
                    std::vector<std::string>& out) {
  for (const KeyRule<Section>& rule : rules) {
    const bool store_key = std::ranges::find(StoreKeys(), rule.name) != StoreKeys().end();
    if (rule.read != nullptr && !store_key) {
      out.push_back(prefix + std::string(rule.name));
    }
  }
}

}  // namespace

std::span<const KeyRule<TopSection>> TopRules() {
  static const std::vector<Rule> rules = MakeRules();
  return rules;
}

std::vector<std::string> AcceptedKeys() {
  std::vector<std::string> keys;
  AppendAccepted(TopRules(), "", keys);
  AppendAccepted(SnapshotRules(), "snapshot.", keys);
  AppendAccepted(std::span<const RetentionRule>(kRetentionRules), "retention.", keys);
  AppendAccepted(std::span<const LoggingRule>(kLoggingRules), "logging.", keys);
  AppendAccepted(std::span<const LevelRule>(kLevelRules), "levels[].", keys);
  AppendAccepted(DatabaseRules(), "dbs[].", keys);
  AppendAccepted(ReplicaRules(), "replica.", keys);
  return keys;
}

}  // namespace runnel::config
