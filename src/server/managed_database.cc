#include "server/managed_database.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "store/file_store.h"

namespace runnel::server {
namespace {

// How often it is asked whether what is waited for can still come.
constexpr std::chrono::milliseconds kTroubleLook{200};

// Who may read a database may read its copy, and nobody else.
store::FileStoreOptions OwnershipLike(fs::FileSystem& fs, const fs::Path& database) {
  store::FileStoreOptions options;
  if (auto file = fs.Stat(database)) options.file = file->ownership;
  if (auto folder = fs.Stat(database.parent_path())) options.directory = folder->ownership;
  return options;
}

}  // namespace

ManagedDatabase::ManagedDatabase(DatabaseSpec spec, const Shared& shared)
    : spec_(std::move(spec)),
      shared_(shared),
      database_(
          std::make_unique<capture::Database>(spec_.capture,
                                              capture::Environment{.fs = shared.fs,
                                                                   .registry = shared.registry,
                                                                   .clock = shared.clock,
                                                                   .log = shared.log,
                                                                   .scheduler = shared.scheduler},
                                              static_cast<capture::DatabaseObserver&>(*this))),
      source_(std::make_unique<replicate::CaptureSource>(*database_)) {}

// Capture's jobs tell us of cuts until they are stopped, and what the replicas hold of the staging
// has to go before the database does.
ManagedDatabase::~ManagedDatabase() {
  StopReplicas();
  (void)database_->Stop();
}

void ManagedDatabase::StopReplicas() {
  for (const ReplicaSpec& replica : spec_.replicas) {
    if (replica.stop_store) replica.stop_store();
  }
  if (replicas_) replicas_->Stop();
}

Result<void> ManagedDatabase::Start() {
  RUNNEL_TRY_VOID(database_->Start());
  const store::FileStoreOptions ownership = OwnershipLike(shared_.fs, path());
  std::vector<replicate::DestinationTarget> targets;
  for (const ReplicaSpec& replica : spec_.replicas) {
    stores_.push_back(replica.store ? replica.store
                                    : std::make_shared<store::FileStore>(shared_.fs, replica.folder,
                                                                         ownership, shared_.clock,
                                                                         shared_.random));
    const auto layout = replica.store ? store::LayoutKind::kFlat : store::LayoutKind::kTree;
    targets.push_back({.settings = replica.settings,
                       .store = stores_.back().get(),
                       .layout = store::ReplicaLayout(layout, "")});
  }
  replicas_ = std::make_unique<replicate::ReplicaSet>(
      std::move(targets), *source_,
      replicate::ClaimIdentity{
          .host = shared_.host, .boot_id = shared_.boot_id, .database = path().string()},
      replicate::LocalFiles{.spool_folder = spec_.capture.state_folder / "runnel",
                            .ownership = ownership.file,
                            .encoding = spec_.capture.encoding,
                            .max_staging_bytes = spec_.capture.max_staging_bytes},
      replicate::Environment{.fs = shared_.fs,
                             .clock = shared_.clock,
                             .random = shared_.random,
                             .log = shared_.log,
                             .scheduler = shared_.scheduler});
  replicas_->Start();
  started_.store(true, std::memory_order_release);
  replicas_->OnCut();  // what was cut meanwhile
  return {};
}

void ManagedDatabase::BeginFinalSync() {
  {
    const MutexLock lock(mutex_);
    asked_at_ = changes_;
  }
  auto txid = database_->RequestCut();
  {
    const MutexLock lock(mutex_);
    final_txid_ = txid;
  }
  if (!txid) return;
  replicas_->WaitDurable(*txid, [this] {
    const MutexLock lock(mutex_);
    final_is_durable_ = true;
    synced_.NotifyAll();
  });
}

Result<void> ManagedDatabase::AwaitFinalSync(MonotonicTime deadline) {
  MutexLock lock(mutex_);
  while (!final_is_durable_) {
    if (!final_txid_ && final_txid_.error().code() == Errc::kNotFound) return {};  // no database
    if (!final_txid_ && !final_txid_.error().retryable()) return Fail(LateError());
    const MonotonicTime now = shared_.clock.MonotonicNow();
    if (now >= deadline) return Fail(LateError());
    if (!AskAgain()) synced_.WaitFor(mutex_, deadline - now);
    if (!AskAgain()) continue;
    // Capture had not begun, or was at a loss; its state has changed.
    lock.unlock();
    BeginFinalSync();
    lock.lock();
  }
  return {};
}

Result<void> ManagedDatabase::AwaitFinalSyncWhileWell(std::chrono::milliseconds patience) {
  std::optional<MonotonicTime> wrong_since;
  for (;;) {
    MutexLock lock(mutex_);
    if (final_is_durable_) return {};
    if (!final_txid_ && !final_txid_.error().retryable()) return Fail(LateError());
    lock.unlock();
    const MonotonicTime now = shared_.clock.MonotonicNow();
    std::optional<Error> trouble = Trouble();
    if (!trouble) wrong_since.reset();
    if (trouble && !wrong_since) wrong_since = now;
    if (trouble && (trouble->code() == Errc::kFenced || now - *wrong_since >= patience)) {
      return Fail(*std::move(trouble));
    }
    lock.lock();
    if (!final_is_durable_ && !AskAgain()) synced_.WaitFor(mutex_, kTroubleLook);
    const bool again = AskAgain();
    lock.unlock();
    if (again) BeginFinalSync();
  }
}

// What keeps the newest commits from being everywhere, if anything does.
std::optional<Error> ManagedDatabase::Trouble() const {
  const std::vector<replicate::DestinationStatus> statuses = replicas_->status();
  for (std::size_t i = 0; i < statuses.size(); ++i) {
    if (!statuses[i].error) continue;
    return Error(*statuses[i].error)
        .Context(fmt::format("{}: replica {}", path().string(), spec_.replicas[i].settings.name));
  }
  if (auto error = database_->status().error) return std::move(*error).Context(path().string());
  return std::nullopt;
}

Error ManagedDatabase::LateError() const {
  const std::optional<Error> trouble = Trouble();
  if (!final_txid_) {
    // Capture that waits for a replica has its reason in the replica.
    const bool waits = final_txid_.error().retryable() && trouble;
    return waits ? *trouble : Error(final_txid_.error()).Context(path().string());
  }
  const std::string reason = trouble ? ": " + trouble->message() : "";
  const bool is_lost = trouble && trouble->code() == Errc::kFenced;
  return {Errc::kTimedOut,
          fmt::format("{}: the newest commits (txid {}) did not reach every replica in time; they "
                      "are staged{}{}",
                      path().string(), FormatTxid(*final_txid_),
                      is_lost ? ", and stay so unless this daemon is started again, which takes "
                                "the replica from the other one"
                              : " and go there at the next start",
                      reason)};
}

bool ManagedDatabase::IsEverywhere() {
  const auto cut = database_->RequestCut();
  if (!cut && cut.error().code() != Errc::kNotFound) return false;
  const auto newest = source_->staging().newest();
  const Txid last = std::max(cut.value_or(Txid{0}), newest ? newest->txid : Txid{0});
  if (last != Txid{0}) return replicas_->durable_txid() >= last;
  // No replica has answered yet: until one has, nothing is cut.
  return std::ranges::none_of(replicas_->status(), [](const auto& status) {
    return status.state == replicate::DestinationState::kConnecting;
  });
}

Result<void> ManagedDatabase::Stop() {
  StopReplicas();
  return database_->Stop();
}

void ManagedDatabase::OnCut(Txid newest) {
  (void)newest;
  NoteChange();
}

void ManagedDatabase::OnStatus() { NoteChange(); }

void ManagedDatabase::NoteChange() {
  if (started_.load(std::memory_order_acquire)) replicas_->OnCut();
  const MutexLock lock(mutex_);
  ++changes_;
  synced_.NotifyAll();
}

}  // namespace runnel::server
