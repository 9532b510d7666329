#include "scenario/scenario.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <stop_token>
#include <utility>

#include "fs/file_operations.h"
#include "replicate/verify.h"
#include "restore/restore.h"
#include "testing/replica_world.h"
#include "testing/result_matchers.h"

namespace runnel::scenario {
namespace {

using namespace std::chrono_literals;
using ::testing::Test;

constexpr std::string_view kStateFolder = "/state/.app.db-litestream";
constexpr std::uint64_t kCopyBytesMax = 16U << 20;

// Longer than any back-off, sweep or look that is put off.
constexpr auto kRecoveryTime = 4min;

capture::DatabaseOptions CaptureOptions(const fs::Path& database) {
  capture::DatabaseOptions options;
  options.database = database;
  options.state_folder = kStateFolder;
  options.checkpoint.threshold_frames = 8;
  options.segment = {.buffer_bytes = 4096, .table_entries = 4};  // both spill
  return options;
}

replicate::DestinationSettings ReplicaSettings() {
  replicate::DestinationSettings settings;
  settings.name = "one";
  settings.level_intervals = {5s, 15s};
  settings.snapshot_interval = 20s;
  settings.snapshot_retention = 25s;
  settings.l0_retention = 8s;
  return settings;
}

}  // namespace

// What a daemon is to one database.
class Scenario::Daemon final : private capture::DatabaseObserver {
 public:
  explicit Daemon(Scenario& world)
      : world_(world),
        registry_(world.files, world.vfs.name()),
        database_(CaptureOptions(world.path_),
                  capture::Environment{.fs = world.files,
                                       .registry = registry_,
                                       .clock = world.clock,
                                       .log = world.log_,
                                       .scheduler = world.scheduler_},
                  static_cast<capture::DatabaseObserver&>(*this)),
        source_(database_) {}

  Result<void> Start() {
    RUNNEL_TRY_VOID(database_.Start());
    replicas_ = std::make_unique<replicate::ReplicaSet>(
        std::vector<replicate::DestinationTarget>{
            {.settings = ReplicaSettings(), .store = &world_.store, .layout = world_.layout_}},
        source_, replicate::ClaimIdentity{.host = "host", .boot_id = "boot", .database = "app"},
        replicate::LocalFiles{.spool_folder = fs::Path(kStateFolder) / "runnel", .ownership = {}},
        replicate::Environment{.fs = world_.files,
                               .clock = world_.clock,
                               .random = world_.random,
                               .log = world_.log_,
                               .scheduler = world_.scheduler_});
    replicas_->Start();
    return {};
  }

  Result<void> Stop() {
    replicas_->Stop();
    return database_.Stop();
  }

  capture::Database& database() { return database_; }
  replicate::ReplicaSet& replicas() { return *replicas_; }

 private:
  void OnCut(Txid) override { OnStatus(); }
  void OnStatus() override {
    if (replicas_) replicas_->OnCut();
  }

  Scenario& world_;
  sqlite::OpenRegistry registry_;
  capture::Database database_;
  replicate::CaptureSource source_;
  std::unique_ptr<replicate::ReplicaSet> replicas_;
};

Scenario::Scenario(int commits) : commits_(commits) {
  EXPECT_OK(state_disk.CreateDirectories("/state", {}));
  state_disk.SyncEverything();
}

Scenario::~Scenario() {
  if (daemon_) KillDaemon();
}

bool Scenario::StartDaemon() {
  daemon_ = std::make_unique<Daemon>(*this);
  auto started = daemon_->Start();
  if (!started) {
    log_.Error("the daemon did not start", {{"error", started.error().message()}});
    daemon_.reset();
  }
  return daemon_ != nullptr;
}

void Scenario::StopDaemon() {
  if (!daemon_) return;
  const std::uint64_t failures = FailureCount();
  const auto stopped = daemon_->Stop();
  if (FailureCount() == failures) EXPECT_OK(stopped);
  daemon_.reset();
}

void Scenario::KillDaemon() {
  state_disk.ProcessDies();
  daemon_.reset();
}

std::uint64_t Scenario::FailureCount() const { return files.failure_count() + vfs.failure_count(); }

void Scenario::Heal() {
  files.Heal();
  store.Heal();
  vfs.Heal();
}

void Scenario::Prepare() {
  app_ = std::make_unique<testing::App>(path_);
  app_->LeaveWalOnClose();
  app_->Run(
      "PRAGMA synchronous=OFF; PRAGMA page_size=1024; PRAGMA auto_vacuum=1; "
      "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; "
      "CREATE TABLE t(id INTEGER PRIMARY KEY, x)");
  states_.push_back(LiveContent());
}

void Scenario::Commit(int number) {
  // Grows, changes all over the place, and shrinks now and then.
  app_->Run(fmt::format(
      "BEGIN; "
      "INSERT INTO t(x) VALUES (printf('%d %.*c', {0}, 200 + {0} * 37 % 1500, 'n')); "
      "INSERT INTO t(x) VALUES (printf('%d %.*c', {0}, 700, 'm')); "
      "UPDATE t SET x = printf('%d %.*c', {0}, 100 + id * 53 % 900, 'u') WHERE id % 5 = {0} % 5; "
      "DELETE FROM t WHERE {0} % 6 = 5 AND id % 3 = 0; "
      "COMMIT",
      number));
  states_.push_back(LiveContent());
}

void Scenario::StepOf(int number) {
  if (!daemon_) StartDaemon();
  Commit(number);
  if (daemon_) daemon_->database().NotifyWritten();
  scheduler_.Advance(number % 4 == 3 ? 9s : 1500ms);
  Check();
  if (lose_power_ && FailureCount() > 0) {
    lose_power_ = false;
    Heal();
    state_disk.PowerLoss(random);
    daemon_.reset();
  }
}

void Scenario::Run() {
  Prepare();
  for (int number = 1; number <= commits_; ++number) {
    StepOf(number);
    if (Test::HasFailure()) return;
    if (number % 20 == 6) {
      StopDaemon();
      app_->Run("PRAGMA wal_checkpoint(TRUNCATE)");
    }
    if (number % 20 == 10) {
      KillDaemon();
      // Nobody writes meanwhile: it goes on where it was.
      if (StartDaemon()) scheduler_.RunReady();
    }
    if (number % 20 == 13) KillDaemon();
  }
}

void Scenario::ExpectRecovers() {
  Heal();
  for (int number = commits_ + 1; number <= commits_ + 2; ++number) {
    if (!daemon_) ASSERT_TRUE(StartDaemon());
    scheduler_.Advance(kRecoveryTime);
    CheckRestore();
    if (Test::HasFailure()) return;
    EXPECT_EQ(restored_state_ + 1, states_.size()) << "the copy is not the live database";
    ExpectReplicaIsWhole();
    const capture::DatabaseStatus status = daemon_->database().status();
    EXPECT_EQ(status.state, capture::DatabaseState::kCapturing);
    EXPECT_EQ(daemon_->replicas().durable_txid(), status.newest);
    EXPECT_EQ(daemon_->replicas().status()[0].state, replicate::DestinationState::kReplicating);
    EXPECT_LE(daemon_->database().staging().files().size(), 1U);
    EXPECT_EQ(app_->Get("PRAGMA integrity_check"), "ok");
    Commit(number);
    daemon_->database().NotifyWritten();
  }
  EXPECT_EQ(app_->Get("PRAGMA wal_checkpoint(PASSIVE)"), "0");
}

Bytes Scenario::LiveContent() {
  Bytes content;
  sqlite3_stmt* pages = nullptr;
  EXPECT_EQ(sqlite3_prepare_v2(app_->handle(), "SELECT data FROM sqlite_dbpage ORDER BY pgno", -1,
                               &pages, nullptr),
            SQLITE_OK);
  while (sqlite3_step(pages) == SQLITE_ROW) {
    const auto* bytes = static_cast<const std::byte*>(sqlite3_column_blob(pages, 0));
    content.insert(content.end(), bytes, bytes + sqlite3_column_bytes(pages, 0));
  }
  EXPECT_EQ(sqlite3_finalize(pages), SQLITE_OK);
  return content;
}

void Scenario::Check() {
  if (daemon_) durable_ = std::max(durable_, daemon_->replicas().durable_txid());
  const auto objects = store::ListAll(replica_, "db/ltx/");
  ASSERT_OK(objects);
  std::set<std::string> versions;
  for (const store::ObjectInfo& object : *objects) {
    const std::string version =
        fmt::format("{} {} {} {}", object.key.text(), object.size_bytes,
                    object.timestamp.time_since_epoch().count(), object.etag.text());
    if (!whole_.contains(version)) ExpectWhole(object);
    versions.insert(version);
  }
  if (versions != whole_ && !versions.empty()) {
    // A restore without its threads: they would be most of what a run takes.
    const auto restored = replicate::testing::RestoreFrom(replica_, layout_);
    ASSERT_OK(restored);
    Bytes copy;
    for (const auto& [page_no, page] : restored->pages) {
      copy.insert(copy.end(), page.begin(), page.end());
    }
    CheckCopy(copy, restored->txid);
  }
  whole_ = std::move(versions);
  EXPECT_GE(restored_txid_, durable_) << "what was reported durable is not there";
}

void Scenario::ExpectWhole(const store::ObjectInfo& object) {
  const auto body = store::ReadObject(replica_, object.key, kCopyBytesMax);
  ASSERT_OK(body);
  EXPECT_OK(ltx::testing::Decode(*body)) << object.key.text();
}

void Scenario::CheckRestore() {
  restore::Restorer restorer(state_disk, clock, log_);
  restore::ExecuteOptions options;
  options.output = fmt::format("/restored/{}.db", states_.size());
  options.parallelism = 1;
  const restore::Destination source{.name = "one",
                                    .source = {.store = &replica_, .layout = &layout_}};
  const auto report = restorer.Restore({&source, 1}, restore::Target::Latest(), options);
  ASSERT_OK(report);
  EXPECT_TRUE(report->failures.empty()) << report->failures[0].error.message();
  EXPECT_EQ(report->outcome.proof, restore::Proof::kChain);
  const auto copy = fs::ReadFile(state_disk, options.output, kCopyBytesMax);
  ASSERT_OK(copy);
  CheckCopy(*copy, report->outcome.txid);
}

void Scenario::CheckCopy(const Bytes& copy, Txid txid) {
  restored_txid_ = txid;
  const auto found = std::ranges::find(states_.rbegin(), states_.rend(), copy);
  ASSERT_NE(found, states_.rend()) << "txid " << FormatTxid(txid) << " is no state of the database";
  const auto state = static_cast<std::size_t>(states_.rend() - found) - 1;
  EXPECT_GE(state, restored_state_) << "the copy went back";
  restored_state_ = std::max(state, restored_state_);
}

void Scenario::ExpectReplicaIsWhole() {
  const auto verified =
      replicate::VerifyReplica(replica_, layout_, {.parallelism = 1, .progress = {}}, {});
  ASSERT_OK(verified);
  // Gaps that a snapshot leads past are notes: retention keeps the first cut of a claim.
  for (const replicate::Finding& finding : verified->findings) {
    if (finding.severity == replicate::Severity::kNote) continue;
    ADD_FAILURE() << replicate::FindingKindName(finding.kind) << " " << finding.object << ": "
                  << finding.problem;
  }
}

std::string Scenario::Story() const {
  std::string story;
  for (const testing::CapturedLine& line : log_.lines()) {
    if (line.level < LogLevel::kInfo) continue;
    story += fmt::format("{} {}", LogLevelName(line.level), line.message);
    for (const auto& [key, value] : line.fields) story += fmt::format(" {}={}", key, value);
    story += '\n';
  }
  return fmt::format("{}\nfiles:\n{}\nstore:\n{}\nvfs:\n{}", story, files.RecentCalls(),
                     store.RecentCalls(), vfs.RecentCalls());
}

}  // namespace runnel::scenario
