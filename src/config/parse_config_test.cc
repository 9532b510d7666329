#include "config/parse_config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace runnel::config {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

ParseOptions Options() {
  return {.environment = {{"HOME", "/home/me"}, {"BUCKET", "/backup"}},
          .working_directory = "/app"};
}

ParsedConfig Parse(std::string_view text, const ParseOptions& options = Options()) {
  return ParseConfig(text, options);
}

// All findings as "line:column: message", errors with an exclamation mark before them.
std::vector<std::string> Findings(std::string_view text, const ParseOptions& options = Options()) {
  std::vector<std::string> out;
  for (const Diagnostic& d : Parse(text, options).diagnostics) {
    out.push_back((d.severity == Severity::kError ? "!" : "") + std::to_string(d.place.line) + ":" +
                  std::to_string(d.place.column) + ": " + d.message);
  }
  return out;
}

// The configuration of a text without errors or warnings.
Config MustParse(std::string_view text) {
  EXPECT_THAT(Findings(text), IsEmpty());
  return Parse(text).config.value_or(Config());
}

std::string OneDb(std::string_view more) {
  return "dbs:\n  - path: /db\n    replica: {url: \"file:///r\"}\n    " + std::string(more) + "\n";
}

TEST(ParseConfigTest, AnEmptyFileIsAllDefaults) {
  for (const char* text : {"", "# nothing\n", "dbs:\n", "dbs: []\n", "{}"}) {
    const Config config = MustParse(text);
    EXPECT_THAT(config.databases, IsEmpty());
    EXPECT_THAT(config.level_intervals, ElementsAre(30s, 5min, 1h));
    EXPECT_EQ(config.l0_retention, 5min);
    EXPECT_TRUE(config.retention_enabled);
  }
}

TEST(ParseConfigTest, TheShortestDatabaseHasTheDefaults) {
  const Config config = MustParse("dbs:\n  - path: /db\n    replica:\n      url: file:///backup\n");
  ASSERT_THAT(config.databases, SizeIs(1));
  const Database& database = config.databases[0];
  EXPECT_EQ(std::get<SingleDatabase>(database.source).path, "/db");
  EXPECT_EQ(std::get<SingleDatabase>(database.source).meta_path, std::nullopt);
  EXPECT_EQ(database.min_checkpoint_page_count, 800u);
  EXPECT_EQ(database.hard_bound_page_count, 1600u);
  EXPECT_EQ(database.cut_interval(), 1s);
  ASSERT_THAT(database.replicas, SizeIs(1));
  EXPECT_EQ(database.replicas[0].path, "/backup");
  EXPECT_EQ(database.replicas[0].snapshots, Snapshots());
  EXPECT_TRUE(database.replicas[0].required);
}

TEST(ParseConfigTest, ReadsEveryKey) {
  const ParsedConfig parsed = Parse(R"(
levels: [{interval: 10s}, {interval: 2m}]
snapshot: {interval: 12h, retention: 168h}
l0-retention: 0
l0-retention-check-interval: 1m
retention: {enabled: no}
shutdown-sync-timeout: 0
shutdown-sync-interval: 100ms
logging: {level: WARN, type: json, stderr: on}
verify-compaction: true
allow-filesystem: [nfs4, virtiofs]
max-staging-bytes: 2GiB
journal-mode: require
sync-interval: 5s
page-encoding: frame
max-sync-ltx-files: 10
dbs:
  - path: data/app.db
    meta-path: ~/state
    monitor-interval: 2s
    checkpoint-interval: 0
    min-checkpoint-page-count: 500
    truncate-page-n: 5_000
    busy-timeout: 250ms
    max-sync-wal-bytes: 0
    max-staging-bytes: 64MB
    journal-mode: switch
    snapshot: {retention: 48h}
    sync-interval: 3s
    page-encoding: block
    replicas:
      - {name: a, type: file, path: backup/a, page-encoding: frame, sync-interval: 10ms, required: true}
      - {url: "file:///b%20c", page-encoding: frame, snapshot-interval: 1h, retention: 72h, max-sync-ltx-files: 0}
  - dir: /tenants
    pattern: "*.db"
    recursive: true
    watch: true
    meta-dir: /state
    replica: {url: "file:///tenants-backup"}
)");
  ASSERT_TRUE(parsed.config.has_value());
  const Config& config = *parsed.config;
  EXPECT_THAT(config.level_intervals, ElementsAre(10s, 2min));
  EXPECT_EQ(config.l0_retention, 0s);
  EXPECT_EQ(config.l0_retention_check_interval, 1min);
  EXPECT_FALSE(config.retention_enabled);
  EXPECT_EQ(config.shutdown_sync_timeout, 0s);
  EXPECT_EQ(config.shutdown_sync_interval, 100ms);
  EXPECT_EQ(config.logging.level, LogLevel::kWarn);
  EXPECT_EQ(config.logging.style, LogStyle::kJson);
  EXPECT_EQ(config.logging.stream, LogStream::kStderr);
  EXPECT_TRUE(config.verify_compaction);
  EXPECT_THAT(config.allowed_file_systems, ElementsAre("nfs4", "virtiofs"));
  ASSERT_THAT(config.databases, SizeIs(2));

  const Database& app = config.databases[0];
  EXPECT_EQ(std::get<SingleDatabase>(app.source).path, "/app/data/app.db");
  EXPECT_EQ(std::get<SingleDatabase>(app.source).meta_path, "/home/me/state");
  EXPECT_EQ(app.cut_interval_min, 2s);
  EXPECT_EQ(app.cut_interval(), 2s);
  EXPECT_EQ(app.checkpoint_interval, 0s);
  EXPECT_EQ(app.min_checkpoint_page_count, 500u);
  EXPECT_EQ(app.hard_bound_page_count, 5000u);
  EXPECT_EQ(app.busy_timeout, 250ms);
  EXPECT_EQ(app.max_sync_wal_bytes, 0u);
  EXPECT_EQ(app.max_staging_bytes, 64'000'000u);
  EXPECT_EQ(app.journal_mode, JournalMode::kSwitch);
  ASSERT_THAT(app.replicas, SizeIs(2));
  const Replica& a = app.replicas[0];
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.path, "/app/backup/a");
  EXPECT_EQ(a.sync_interval, 10ms);
  EXPECT_EQ(a.page_encoding, PageEncoding::kFrame);
  EXPECT_EQ(a.snapshots, (Snapshots{12h, 48h}));
  EXPECT_EQ(a.max_sync_ltx_files, 10u);
  EXPECT_TRUE(a.required);
  const Replica& b = app.replicas[1];
  EXPECT_EQ(b.path, "/b c");
  EXPECT_EQ(b.sync_interval, 3s);
  EXPECT_EQ(b.page_encoding, PageEncoding::kFrame);
  EXPECT_EQ(b.snapshots, (Snapshots{1h, 72h}));
  EXPECT_EQ(b.max_sync_ltx_files, 0u);
  EXPECT_FALSE(b.required) << "another one is marked";

  const Database& tenants = config.databases[1];
  const auto& directory = std::get<DatabaseDirectory>(tenants.source);
  EXPECT_EQ(directory.directory, "/tenants");
  EXPECT_EQ(directory.pattern, "*.db");
  EXPECT_TRUE(directory.recursive);
  EXPECT_TRUE(directory.watch);
  EXPECT_EQ(directory.meta_dir, "/state");
  EXPECT_EQ(tenants.max_staging_bytes, std::uint64_t{2} << 30U);
  EXPECT_EQ(tenants.journal_mode, JournalMode::kRequire);
  EXPECT_EQ(tenants.replicas[0].sync_interval, 5s);
  EXPECT_EQ(tenants.replicas[0].snapshots, (Snapshots{12h, 168h}));
}

TEST(ParseConfigTest, ReadsJson) {
  const Config config = MustParse(R"({"logging": {"stderr": true}, "dbs": [
    {"path": "sqlite3:///db", "replica": {"path": "/r"}}]})");
  ASSERT_THAT(config.databases, SizeIs(1));
  EXPECT_EQ(std::get<SingleDatabase>(config.databases[0].source).path, "/db");
}

TEST(ParseConfigTest, AcceptsEveryFormOfAFilePath) {
  for (const auto& [replica, path] :
       std::vector<std::pair<std::string, std::string>>{{"url: file:///a/b", "/a/b"},
                                                        {"url: file://localhost/a", "/a"},
                                                        {"url: file:rel", "/app/rel"},
                                                        {"url: /plain/", "/plain"},
                                                        {"path: ../up", "/up"},
                                                        {"path: ~/x", "/home/me/x"},
                                                        {"path: $BUCKET/x", "/backup/x"},
                                                        {"{type: file, path: /y}", "/y"}}) {
    const std::string text = "dbs:\n  - path: /db\n    replica:\n      " + replica + "\n";
    const Config config = MustParse(text);
    ASSERT_THAT(config.databases, SizeIs(1)) << text;
    EXPECT_EQ(config.databases[0].replicas[0].path, path) << text;
  }
}

TEST(ParseConfigTest, NamesTheNearestKeyOrTheRightSection) {
  EXPECT_THAT(Findings("snapshot: {retension: 72h}"),
              ElementsAre(AllOf(HasSubstr("!1:12: unknown key \"retension\" in snapshot"),
                                HasSubstr("did you mean \"retention\"?"))));
  EXPECT_THAT(Findings(OneDb("bucket: b")),
              ElementsAre(AllOf(HasSubstr("!4:5:"), HasSubstr("belongs into"))));
  EXPECT_THAT(Findings("completely-unheard-of: 1"), ElementsAre(HasSubstr("remove it")));
}

TEST(ParseConfigTest, UnderLitestreamsNameAnUnknownKeyIsAWarning) {
  ParseOptions options = Options();
  options.strictness = Strictness::kLitestream;
  const ParsedConfig parsed = Parse(OneDb("future-key: 1"), options);
  EXPECT_TRUE(parsed.config.has_value());
  EXPECT_THAT(parsed.diagnostics, SizeIs(1));
  EXPECT_FALSE(Parse(OneDb("monitor-interval: x"), options).config.has_value());
}

TEST(ParseConfigTest, ReportsAllErrorsInTheOrderOfTheFile) {
  const std::vector<std::string> findings = Findings(R"(dbs:
  - path: /a
    monitor-interval: 5
    replica: {url: "sftp://host/x"}
  - dir: /b
    replica: {url: "file:///r"}
l0-retention: 5 minutes
)");
  EXPECT_THAT(findings,
              ElementsAre(AllOf(HasSubstr("!3:23: monitor-interval"), HasSubstr("5s")),
                          AllOf(HasSubstr("!4:20:"), HasSubstr("later version")),
                          AllOf(HasSubstr("!5:10:"), HasSubstr("pattern")),
                          AllOf(HasSubstr("!7:15: l0-retention"), HasSubstr("duration"))));
  EXPECT_FALSE(Parse("l0-retention: x").config.has_value());
}

TEST(ParseConfigTest, RefusesWhatCannotBe) {
  const std::pair<std::string, std::string> cases[] = {
      {"dbs:\n  - replica: {path: /r}", "either path or dir"},
      {"dbs:\n  - path: /db", "needs a replica"},
      {"dbs:\n  - path: /db\n    replicas: []", "needs a replica"},
      {"dbs:\n  - path: /db\n    replica: {}", "needs a url"},
      {OneDb("replicas: [{path: /x}]"), "exclude each other"},
      {OneDb("dir: /d"), "exclude each other"},
      {OneDb("watch: true"), "go with dir"},
      {OneDb("path: /other"), "twice"},
      {OneDb("truncate-page-n: 800"), "greater than"},
      {OneDb("journal-mode: wal"), "switch, require"},
      {OneDb("restore-if-db-not-exists: true"), "later version"},
      {OneDb("snapshot: 24h"), "must be a map"},
      {OneDb("monitor-interval: [1s]"), "single value"},
      {OneDb("checkpoint-interval: -1s"), "not negative"},
      {"dbs: {path: /db}", "put '- '"},
      {"exec: app", "service manager"},
      {"age: {}", "encryption"},
      {"levels: []", "1 to 8"},
      {"levels: [{}]", "needs an interval"},
      {"snapshot: {interval: 0}", "at least"},
      {"dbs:\n  - path: /db\n    replica: {path: /r, age: {recipients: [x]}}", "encryption"},
      {"dbs:\n  - path: /db\n    replica: {path: \"s3://b\"}", "write it as url"},
      {"dbs:\n  - path: /db\n    replica: {url: \"file:///a\", path: /b}", "keep one"},
      {"dbs:\n  - path: /db\n    replica: {url: \"file://host/a\"}", "three slashes"},
      {"dbs:\n  - path: /db\n    replica: {url: \"file:///a%zz\"}", "hex digits"},
      {"dbs:\n  - path: /db\n    replica: {url: \"ftp://x/a\"}", "unknown type"},
      {"dbs:\n  - path: /db\n    replica: {type: s3, url: \"file:///a\"}", "remove one"},
      {"dbs:\n  - path: /db\n    replicas: [{path: /r}, {path: /r}]", "line 3"},
      {"dbs:\n  - path: /db\n    replica: {path: /r, required: false}", "durable"},
      {"dbs:\n  - path: /a\n    replica: {path: /r}\n  - path: /b\n    replica: {path: /x/../r}",
       "line 3"},
      {"dbs:\n  - path: /a\n    replica: {path: /r}\n  - path: /a\n    replica: {path: /q}",
       "line 2"},
      {"dbs:\n  - dir: /a\n    pattern: x/*.db\n    replica: {path: /r}", "recursive"},
      {"a: [", "not valid YAML"},
      {"- a", "must be a map"},
      {"{}\n---\n{}", "second document"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(Findings(text), ElementsAre(AllOf(HasSubstr("!"), HasSubstr(message)))) << text;
    EXPECT_FALSE(Parse(text).config.has_value()) << text;
  }
}

TEST(ParseConfigTest, WarnsOfKnownKeysWithoutEffect) {
  for (const std::string& text :
       {std::string("addr: \":9090\""), std::string("heartbeat-url: x"), std::string("bucket: x"),
        std::string("account-key: x"), std::string("socket: {permissions: 384}"),
        OneDb("max-checkpoint-page-count: 1"), OneDb("truncate-page-n: -1")}) {
    const ParsedConfig parsed = Parse(text);
    EXPECT_TRUE(parsed.config.has_value()) << text;
    ASSERT_THAT(parsed.diagnostics, SizeIs(1)) << text;
    EXPECT_EQ(parsed.diagnostics[0].severity, Severity::kWarning);
  }
}

TEST(ParseConfigTest, ShowsNoSecret) {
  const std::vector<std::string> findings = Findings(R"(
access-key-id: AKIASECRET
dbs:
  - path: /db
    replicas:
      - {url: "sftp://user:SECRET@host/x"}
      - {path: "s3://key:SECRET@bucket/x"}
      - {type: file, url: "s3://key:SECRET@bucket/x"}
      - {type: "x://u:SECRET@h"}
      - {path: /r, secret-access-key: SECRET, sync-interval: "u://a:SECRET@b"}
)");
  EXPECT_THAT(findings, SizeIs(7));
  const std::vector<std::string> alias = Findings("password: *SECRET");
  EXPECT_THAT(alias, ElementsAre(AllOf(HasSubstr("!1:11:"), HasSubstr("needs quotes"),
                                       ::testing::Not(HasSubstr("SECRET")))));
  for (const std::string& finding : findings) {
    EXPECT_THAT(finding, ::testing::Not(HasSubstr("SECRET")));
  }
}

TEST(ParseConfigTest, FollowsAnchorsAndMerges) {
  const Config config = MustParse(R"(
dbs:
  - &first
    path: /a
    checkpoint-interval: 7s
    replica: {path: /ra}
  - <<: *first
    path: /b
    replica: {path: /rb}
)");
  ASSERT_THAT(config.databases, SizeIs(2));
  EXPECT_EQ(config.databases[1].checkpoint_interval, 7s);
  EXPECT_EQ(std::get<SingleDatabase>(config.databases[1].source).path, "/b");
}

TEST(ParseConfigTest, WarnsOfKeysWhoseEffectIsPending) {
  EXPECT_THAT(Findings("verify-compaction: true\n"),
              ElementsAre(HasSubstr("verify-compaction has no effect: ")));
  EXPECT_THAT(Findings(OneDb("busy-timeout: 5s")), ElementsAre(HasSubstr("tried again later")));
  // Their values are checked all the same.
  EXPECT_THAT(Findings(OneDb("busy-timeout: soon")),
              ElementsAre(HasSubstr("has no effect"), HasSubstr("!")));
}

TEST(ParseConfigTest, StagingHasALeastSize) {
  EXPECT_THAT(Findings(OneDb("max-staging-bytes: 1MB")),
              ElementsAre(AllOf(HasSubstr("!"), HasSubstr("at least"))));
  EXPECT_THAT(Findings("max-staging-bytes: 2GiB\n"), IsEmpty());
}

TEST(ParseConfigTest, ReplicasOfOneDatabaseHaveOneEncoding) {
  const std::string head = "dbs:\n  - path: /db\n    replicas:\n      - {path: /a}\n";
  EXPECT_THAT(Findings(head + "      - {path: /b, page-encoding: frame}\n"),
              ElementsAre(AllOf(HasSubstr("!5:"), HasSubstr("in line 4"))));
  EXPECT_THAT(Findings(head + "      - {path: /b, page-encoding: block}\n"), IsEmpty());
}

TEST(ParseConfigTest, MemoryIsForTryingOut) {
  const ParsedConfig parsed = Parse("dbs:\n  - path: /db\n    replica: {type: memory}");
  ASSERT_TRUE(parsed.config.has_value());
  EXPECT_EQ(parsed.config->databases[0].replicas[0].type, ReplicaType::kMemory);
  EXPECT_THAT(parsed.diagnostics, SizeIs(1));
}

TEST(ParseYamlTest, BoundsWhatAHostileTextCosts) {
  std::string laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 12; ++i) {
    laughs += fmt::format("a{0}: &a{0} [*a{1},*a{1},*a{1},*a{1},*a{1},*a{1},*a{1}]\n", i, i - 1);
  }
  EXPECT_THAT(Findings(laughs), ElementsAre(HasSubstr("more than 200000 values")));
  EXPECT_THAT(Findings("a: " + std::string(100, '[')), ElementsAre(HasSubstr("levels deep")));
  EXPECT_THAT(Findings(std::string(100'000, '[')), SizeIs(1));
}

TEST(ParseConfigTest, ATextCutOffAnywhereIsReadOrRefused) {
  const std::string text = OneDb("snapshot: {interval: 1h}") + "logging: {level: \"info\"}\n";
  int read = 0;
  for (std::size_t size = 0; size <= text.size(); ++size) {
    const ParsedConfig parsed = Parse(std::string_view(text).substr(0, size));
    EXPECT_NE(
        parsed.config.has_value(),
        std::ranges::any_of(parsed.diagnostics,
                            [](const Diagnostic& d) { return d.severity == Severity::kError; }))
        << size;
    if (parsed.config) ++read;
  }
  EXPECT_GT(read, 1);
}

TEST(FormatDiagnosticTest, NamesFileLineAndColumn) {
  EXPECT_EQ(FormatDiagnostic("/etc/runnel.yml", {Severity::kError, {7, 3}, "no"}),
            "/etc/runnel.yml:7:3: error: no");
  EXPECT_EQ(FormatDiagnostic("f", {Severity::kWarning, {}, "hm"}), "f: warning: hm");
}

}  // namespace
}  // namespace runnel::config
