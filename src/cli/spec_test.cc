#include "cli/spec.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>

#include "config/parse_config.h"
#include "fs/file_operations.h"
#include "fs/posix_file_system.h"
#include "testing/live_database.h"
#include "testing/manual_clock.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"
#include "testing/temp_dir.h"

namespace runnel::cli {
namespace {

// Everything that a configuration comes to, field by field.
using Fields = std::map<std::string, std::string>;

std::string Text(std::chrono::milliseconds duration) {
  return fmt::format("{}ms", duration.count());
}

void AddReplica(const server::ReplicaSpec& replica, const std::string& prefix, Fields& out) {
  const replicate::DestinationSettings& settings = replica.settings;
  out[prefix + "folder"] = replica.folder.string();
  out[prefix + "name"] = settings.name;
  out[prefix + "required"] = settings.importance == replicate::Importance::kRequired ? "yes" : "no";
  out[prefix + "sync"] = Text(settings.sync_interval);
  std::string levels;
  for (const auto interval : settings.level_intervals) levels += Text(interval) + " ";
  out[prefix + "levels"] = levels;
  out[prefix + "snapshot_interval"] = Text(settings.snapshot_interval);
  out[prefix + "snapshot_retention"] = Text(settings.snapshot_retention);
  out[prefix + "l0_retention"] = Text(settings.l0_retention);
  out[prefix + "deletes"] = settings.deletion == replicate::DeletionMode::kByAge ? "yes" : "no";
}

void AddDatabase(const server::DatabaseSpec& spec, const std::string& prefix, Fields& out) {
  const capture::DatabaseOptions& capture = spec.capture;
  out[prefix + "path"] = capture.database.string();
  out[prefix + "state"] = capture.state_folder.string();
  out[prefix + "cut_interval"] = Text(capture.sync_interval);
  out[prefix + "threshold"] = std::to_string(capture.checkpoint.threshold_frames);
  out[prefix + "hard_bound"] = std::to_string(capture.checkpoint.hard_bound_frames());
  out[prefix + "checkpoint_interval"] = Text(capture.checkpoint.interval);
  out[prefix + "encoding"] = capture.encoding == ltx::PageEncoding::kFrame ? "frame" : "block";
  out[prefix + "switch_mode"] =
      capture.journal_mode == capture::JournalModePolicy::kSwitch ? "yes" : "no";
  out[prefix + "staging"] = std::to_string(capture.max_staging_bytes);
  for (std::size_t i = 0; i < spec.replicas.size(); ++i) {
    AddReplica(spec.replicas[i], fmt::format("{}replica{}.", prefix, i), out);
  }
}

// What `key` changes: its text, put into one of the configurations below, and the fields that are
// others for it.
struct Effect {
  std::string base;  // with %TOP%, %DB%, %REPLICA% where keys of the section go
  std::string place;
  std::string text;
  Fields changes;
  std::string before = "";  // what stands in that place without the key
};

const std::string kCopy = "path: %HERE%/copy";
const std::string kOne = "replica: {path: %HERE%/copy}";
const std::string kTwo = "replicas: [{path: %HERE%/copy}, {path: %HERE%/two}]";
const std::string kSingle =
    "%TOP%\n"
    "dbs:\n"
    "  - path: %HERE%/app.db\n"
    "    %DB%\n"
    "    replica:\n"
    "      path: %HERE%/copy\n"
    "      %REPLICA%\n";
const std::string kDirectory =
    "%TOP%\n"
    "dbs:\n"
    "  - dir: %HERE%/all\n"
    "    pattern: 'a*.db'\n"
    "    %DB%\n"
    "    replica: {path: %HERE%/copy}\n";

std::map<std::string, Effect> Effects() {
  const auto top = [](std::string text, Fields changes) {
    return Effect{kSingle, "%TOP%", std::move(text), std::move(changes)};
  };
  const auto db = [](std::string text, Fields changes) {
    return Effect{kSingle, "%DB%", std::move(text), std::move(changes)};
  };
  const auto replica = [](std::string text, Fields changes) {
    return Effect{kSingle, "%REPLICA%", std::move(text), std::move(changes)};
  };
  const auto directory = [](std::string text, Fields changes) {
    return Effect{kDirectory, "%DB%", std::move(text), std::move(changes)};
  };
  const Fields snapshots = {{"0.replica0.snapshot_interval", "7000ms"},
                            {"0.replica0.snapshot_retention", "9000ms"}};
  const Fields sync = {{"0.cut_interval", "3000ms"}, {"0.replica0.sync", "3000ms"}};
  const Fields frame = {{"0.encoding", "frame"}};
  const Fields levels = {{"0.replica0.levels", "2000ms 4000ms "}};
  const Fields second = {{"0.replica1.folder", "%HERE%/two"},
                         {"0.replica1.name", "%HERE%/two"},
                         {"0.replica1.required", "yes"},
                         {"0.replica1.sync", "1000ms"},
                         {"0.replica1.levels", "30000ms 300000ms 3600000ms "},
                         {"0.replica1.snapshot_interval", "86400000ms"},
                         {"0.replica1.snapshot_retention", "86400000ms"},
                         {"0.replica1.l0_retention", "300000ms"},
                         {"0.replica1.deletes", "yes"}};
  const std::string none = "dbs: [{path: %HERE%/app.db, %DB%}]";
  const std::string bare = "dbs: [{path: %HERE%/app.db, replica: {%REPLICA%}}]";
  const Fields whole = {{"0.path", "%HERE%/app.db"},
                        {"0.state", "%HERE%/.app.db-litestream"},
                        {"0.cut_interval", "1000ms"},
                        {"0.threshold", "800"},
                        {"0.hard_bound", "1600"},
                        {"0.checkpoint_interval", "60000ms"},
                        {"0.encoding", "block"},
                        {"0.switch_mode", "yes"},
                        {"0.staging", "1073741824"},
                        {"0.replica0.folder", "%HERE%/copy"},
                        {"0.replica0.name", "%HERE%/copy"},
                        {"0.replica0.required", "yes"},
                        {"0.replica0.sync", "1000ms"},
                        {"0.replica0.levels", "30000ms 300000ms 3600000ms "},
                        {"0.replica0.snapshot_interval", "86400000ms"},
                        {"0.replica0.snapshot_retention", "86400000ms"},
                        {"0.replica0.l0_retention", "300000ms"},
                        {"0.replica0.deletes", "yes"}};
  Fields another;
  for (const auto& [field, value] : whole) another["1" + field.substr(1)] = value;
  another["1.path"] = "%HERE%/all/below/abc.db";
  another["1.state"] = "%HERE%/all/below/.abc.db-litestream";
  another["1.replica0.folder"] = "%HERE%/copy/below/abc.db";
  return {
      {"dbs", {"%TOP%", "%TOP%", "dbs: [{path: %HERE%/app.db, " + kOne + "}]", whole}},
      {"levels", top("levels: [{interval: 2s}, {interval: 4s}]", levels)},
      {"levels[].interval", top("levels: [{interval: 2s}, {interval: 4s}]", levels)},
      {"snapshot", top("snapshot: {interval: 7s, retention: 9s}", snapshots)},
      {"snapshot.interval",
       top("snapshot: {interval: 7s}", {{"0.replica0.snapshot_interval", "7000ms"}})},
      {"snapshot.retention",
       top("snapshot: {retention: 9s}", {{"0.replica0.snapshot_retention", "9000ms"}})},
      {"l0-retention", top("l0-retention: 8s", {{"0.replica0.l0_retention", "8000ms"}})},
      {"retention", top("retention: {enabled: false}", {{"0.replica0.deletes", "no"}})},
      {"retention.enabled", top("retention: {enabled: false}", {{"0.replica0.deletes", "no"}})},
      {"shutdown-sync-timeout", top("shutdown-sync-timeout: 6s", {{"final_sync", "6000ms"}})},
      {"logging", top("logging: {level: warn}", {{"log_level", "WARN"}})},
      {"logging.level", top("logging: {level: warn}", {{"log_level", "WARN"}})},
      {"logging.type", top("logging: {type: json}", {{"log_json", "yes"}})},
      {"logging.stderr", top("logging: {stderr: true}", {{"log_stderr", "yes"}})},
      {"allow-filesystem", top("allow-filesystem: [nfs4, 9p]", {{"allowed", "nfs4 9p "}})},
      {"max-staging-bytes", top("max-staging-bytes: 64MiB", {{"0.staging", "67108864"}})},
      {"journal-mode", top("journal-mode: require", {{"0.switch_mode", "no"}})},
      {"sync-interval", top("sync-interval: 3s", sync)},
      {"page-encoding", top("page-encoding: frame", frame)},

      {"dbs[].path",
       {"dbs: [{path: %DB%, replica: {path: %HERE%/copy}}]",
        "%DB%",
        "%HERE%/other.db",
        {{"0.path", "%HERE%/other.db"}, {"0.state", "%HERE%/.other.db-litestream"}},
        "%HERE%/app.db"}},
      {"dbs[].pattern",
       {"dbs: [{dir: %HERE%/all, pattern: %DB%, replica: {path: %HERE%/copy}}]",
        "%DB%",
        "'*.other'",
        {{"0.path", "%HERE%/all/b.other"},
         {"0.state", "%HERE%/all/.b.other-litestream"},
         {"0.replica0.folder", "%HERE%/copy/b.other"}},
        "'a*.db'"}},
      {"dbs[].dir",
       {"dbs: [{dir: %DB%, pattern: 'a*.db', replica: {path: %HERE%/copy}}]",
        "%DB%",
        "%HERE%/all/below",
        {{"0.path", "%HERE%/all/below/abc.db"},
         {"0.state", "%HERE%/all/below/.abc.db-litestream"},
         {"0.replica0.folder", "%HERE%/copy/abc.db"}},
        "%HERE%/all"}},
      {"dbs[].recursive", directory("recursive: true", another)},
      {"dbs[].meta-path", db("meta-path: %HERE%/meta", {{"0.state", "%HERE%/meta"}})},
      {"dbs[].meta-dir",
       directory("meta-dir: %HERE%/meta", {{"0.state", "%HERE%/meta/a.db-litestream"}})},
      {"dbs[].monitor-interval", db("monitor-interval: 5s", {{"0.cut_interval", "5000ms"}})},
      {"dbs[].checkpoint-interval",
       db("checkpoint-interval: 5s", {{"0.checkpoint_interval", "5000ms"}})},
      {"dbs[].min-checkpoint-page-count",
       db("min-checkpoint-page-count: 300", {{"0.threshold", "300"}, {"0.hard_bound", "600"}})},
      {"dbs[].truncate-page-n", db("truncate-page-n: 1001", {{"0.hard_bound", "1001"}})},
      {"dbs[].max-staging-bytes", db("max-staging-bytes: 64MiB", {{"0.staging", "67108864"}})},
      {"dbs[].journal-mode", db("journal-mode: require", {{"0.switch_mode", "no"}})},
      {"dbs[].snapshot", db("snapshot: {interval: 7s, retention: 9s}", snapshots)},
      {"dbs[].sync-interval", db("sync-interval: 3s", sync)},
      {"dbs[].page-encoding", db("page-encoding: frame", frame)},
      {"dbs[].replica",
       {none,
        "%DB%",
        "replica: {path: %HERE%/other}",
        {{"0.replica0.folder", "%HERE%/other"}, {"0.replica0.name", "%HERE%/other"}},
        kOne}},
      {"dbs[].replicas", {none, "%DB%", kTwo, second, kOne}},

      {"replica.url",
       {bare,
        "%REPLICA%",
        "url: 'file://%HERE%/other'",
        {{"0.replica0.folder", "%HERE%/other"}, {"0.replica0.name", "%HERE%/other"}},
        kCopy}},
      {"replica.path",
       {bare,
        "%REPLICA%",
        "path: %HERE%/other",
        {{"0.replica0.folder", "%HERE%/other"}, {"0.replica0.name", "%HERE%/other"}},
        kCopy}},
      {"replica.name", replica("name: far", {{"0.replica0.name", "far"}})},
      {"replica.required",
       {none,
        "%DB%",
        "replicas: [{path: %HERE%/copy, required: true}, {path: %HERE%/two}]",
        {{"0.replica1.required", "no"}},
        kTwo}},
      {"replica.sync-interval", replica("sync-interval: 3s", sync)},
      {"replica.page-encoding", replica("page-encoding: frame", frame)},
      {"replica.snapshot-interval",
       replica("snapshot-interval: 7s", {{"0.replica0.snapshot_interval", "7000ms"}})},
      {"replica.retention",
       replica("retention: 9s", {{"0.replica0.snapshot_retention", "9000ms"}})},
  };
}

// Read and checked, and warned of: what they ask for is not there yet.
std::map<std::string, Effect> Pending() {
  return {
      {"l0-retention-check-interval", {kSingle, "%TOP%", "l0-retention-check-interval: 1s", {}}},
      {"shutdown-sync-interval", {kSingle, "%TOP%", "shutdown-sync-interval: 1s", {}}},
      {"verify-compaction", {kSingle, "%TOP%", "verify-compaction: true", {}}},
      {"max-sync-ltx-files", {kSingle, "%TOP%", "max-sync-ltx-files: 3", {}}},
      {"dbs[].busy-timeout", {kSingle, "%DB%", "busy-timeout: 3s", {}}},
      {"dbs[].max-sync-wal-bytes", {kSingle, "%DB%", "max-sync-wal-bytes: 1MB", {}}},
      {"replica.max-sync-ltx-files", {kSingle, "%REPLICA%", "max-sync-ltx-files: 3", {}}},
  };
}

// They have tests of their own, below and in s3_settings_test.cc.
const std::set<std::string> kElsewhere = [] {
  std::set<std::string> keys = {"dbs[].watch", "replica.type"};
  for (const char* key :
       {"bucket", "endpoint", "region", "access-key-id", "secret-access-key", "session-token",
        "force-path-style", "sign-payload", "require-content-md5", "skip-verify", "ca-file",
        "storage-class", "sse-customer-algorithm", "sse-customer-key", "sse-customer-key-path",
        "sse-kms-key-id", "part-size", "concurrency"}) {
    keys.insert(key);
    keys.insert(std::string("replica.") + key);
  }
  return keys;
}();

class SpecTest : public ::testing::Test {
 protected:
  SpecTest() {
    create_directories(Here() / "all" / "below");
    for (const char* name : {"app.db", "other.db", "all/a.db", "all/b.other", "all/below/abc.db"}) {
      testing::App(Here() / name).Run("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
    }
  }

  std::filesystem::path Here() const { return directory_.path(); }

  std::string Placed(std::string text) const {
    return std::regex_replace(text, std::regex("%HERE%"), Here().string());
  }

  static std::string Filled(const Effect& effect, const std::string& text) {
    std::string filled = effect.base;
    filled.replace(filled.find(effect.place), effect.place.size(), text);
    return filled;
  }
  static std::string With(const Effect& effect) { return Filled(effect, effect.text); }
  static std::string Without(const Effect& effect) { return Filled(effect, effect.before); }

  void WriteFile(const char* name, std::string_view content) {
    const fs::Path path = Here() / name;
    ASSERT_OK(fs_.CreateDirectories(path.parent_path(), {.mode = 0700}));
    ASSERT_OK(fs::ReplaceFile(fs_, path, AsBytes(content), {}));
  }

  // `text` with the rest of its marks taken out.
  config::ParsedConfig Parse(const std::string& text) const {
    auto parsed = config::ParseConfig(
        std::regex_replace(Placed(text), std::regex("%[A-Z]+%"), ""),
        {.environment = environment_, .working_directory = process_.working_directory});
    for (const auto& diagnostic : parsed.diagnostics) {
      if (diagnostic.severity == config::Severity::kError) {
        ADD_FAILURE() << text << ": " << config::FormatDiagnostic("here", diagnostic);
      }
    }
    return parsed;
  }

  Fields FieldsOf(const std::string& text) {
    Fields fields;
    const auto parsed = Parse(text);
    if (!parsed.config) return fields;
    const server::DaemonOptions daemon = DaemonOptionsOf(*parsed.config);
    fields["final_sync"] = Text(daemon.final_sync_timeout);
    for (const std::string& name : daemon.allowed_file_systems) fields["allowed"] += name + " ";
    const config::Logging& logging = parsed.config->logging;
    fields["log_level"] = LogLevelName(logging.level);
    fields["log_json"] = logging.style == config::LogStyle::kJson ? "yes" : "no";
    fields["log_stderr"] = logging.stream == config::LogStream::kStderr ? "yes" : "no";
    const auto specs = SpecsOf(process_, s3_, *parsed.config);
    EXPECT_OK(specs);
    if (!specs) return fields;
    for (std::size_t i = 0; i < specs->size(); ++i) {
      AddDatabase((*specs)[i], fmt::format("{}.", i), fields);
    }
    return fields;
  }

  const testing::TempDir directory_;
  fs::PosixFileSystem fs_;
  testing::ManualClock clock_;
  testing::SeededRandom random_{1};
  const config::Environment environment_;
  Process process_{.fs = fs_,
                   .clock = clock_,
                   .random = random_,
                   .environment = environment_,
                   .working_directory = "/",
                   .out = [](std::string_view) {},
                   .err = [](std::string_view) {}};
  NullLogger log_;
  S3Stores s3_{process_, log_};
};

TEST_F(SpecTest, EveryKeyThatIsReadHasItsEffectOrIsPending) {
  std::set<std::string> known = kElsewhere;
  for (const auto& [key, effect] : Effects()) known.insert(key);
  for (const auto& [key, effect] : Pending()) known.insert(key);
  EXPECT_THAT(config::AcceptedKeys(), ::testing::UnorderedElementsAreArray(known));
}

TEST_F(SpecTest, EachKeyArrivesInItsFieldsAndInNoOther) {
  for (const auto& [key, effect] : Effects()) {
    SCOPED_TRACE(key);
    Fields expected = FieldsOf(Without(effect));
    for (const auto& [field, value] : effect.changes) {
      EXPECT_NE(expected[field], Placed(value)) << field << " is so without the key";
      expected[field] = Placed(value);
    }
    EXPECT_THAT(FieldsOf(With(effect)), ::testing::ContainerEq(expected));
  }
}

TEST_F(SpecTest, APendingKeyIsWarnedOfAndChangesNothing) {
  for (const auto& [key, effect] : Pending()) {
    SCOPED_TRACE(key);
    const auto parsed = Parse(With(effect));
    ASSERT_EQ(parsed.diagnostics.size(), 1U);
    EXPECT_EQ(parsed.diagnostics[0].severity, config::Severity::kWarning);
    EXPECT_THAT(parsed.diagnostics[0].message, ::testing::HasSubstr("has no effect"));
    EXPECT_THAT(FieldsOf(With(effect)), ::testing::ContainerEq(FieldsOf(Without(effect))));
  }
}

TEST_F(SpecTest, AReplicaInMemoryIsRefused) {
  const auto parsed =
      Parse("dbs: [{path: %HERE%/app.db, replica: {path: %HERE%/copy, type: memory}}]");
  ASSERT_TRUE(parsed.config);
  EXPECT_FAILS(Errc::kUnsupported, SpecsOf(process_, s3_, *parsed.config));
}

TEST_F(SpecTest, ADirectoryHoldsTheDatabasesThatAreThereNow) {
  WriteFile("all/a-not-a-database.db", "text");
  WriteFile("all/.a.db-litestream/a.db", "of another database's state");
  Fields fields = FieldsOf(kDirectory);
  EXPECT_EQ(fields["0.path"], Placed("%HERE%/all/a.db"));
  EXPECT_FALSE(fields.contains("1.path"));
}

TEST_F(SpecTest, ADirectoryThatIsNotThereIsAnError) {
  const auto parsed = Parse("dbs: [{dir: %HERE%/none, pattern: '*', " + kOne + "}]");
  ASSERT_TRUE(parsed.config);
  EXPECT_FAILS(Errc::kNotFound, SpecsOf(process_, s3_, *parsed.config));
}

TEST_F(SpecTest, StateLiesBesideTheRealFileWhicheverLinkLeadsThere) {
  create_symlink(Here() / "all" / "a.db", Here() / "link.db");
  Fields fields = FieldsOf("dbs: [{path: %HERE%/link.db, " + kOne + "}]");
  EXPECT_EQ(fields["0.state"], Placed("%HERE%/all/.a.db-litestream"));
}

TEST_F(SpecTest, ArgumentsAreADatabaseAndFolders) {
  ASSERT_OK_AND_ASSIGN(const auto config,
                       ConfigForArguments(process_, {"rel/app.db", "file:///a", "file:///b/c"}));
  ASSERT_OK_AND_ASSIGN(const auto specs, SpecsOf(process_, s3_, config));
  ASSERT_EQ(specs.size(), 1U);
  EXPECT_EQ(specs[0].capture.database, "/rel/app.db");
  ASSERT_EQ(specs[0].replicas.size(), 2U);
  EXPECT_EQ(specs[0].replicas[0].folder, "/a");
  EXPECT_EQ(specs[0].replicas[1].folder, "/b/c");
  for (const char* bad : {"/backup", "file://host/backup", "sftp://bucket/app"}) {
    EXPECT_FALSE(ConfigForArguments(process_, {"app.db", bad})) << bad;
  }
}

}  // namespace
}  // namespace runnel::cli
