#include "capture/live_database.h"

#include <algorithm>
#include <utility>

#include "capture/recovery.h"
#include "fs/file_operations.h"

namespace runnel::capture {

LiveDatabase::LiveDatabase(const DatabaseOptions& options, const Environment& environment,
                           DatabaseObserver& observer)
    : options_(options),
      environment_(environment),
      observer_(observer),
      paths_(options_.state_folder),
      pacing_(options_.checkpoint.threshold_frames, options_.checkpoint.ready_frames(),
              options_.checkpoint.hard_bound_frames()),
      capturer_({.database = options_.database,
                 .checkpoint = options_.checkpoint,
                 .flush_earlier =
                     [this] {
                       mutex_.AssertHeld();
                       return FlushFrozen();
                     }},
                environment.registry, environment.fs, environment.clock, environment.log),
      capture_method_(*this, &LiveDatabase::RunCapture),
      cut_method_(*this, &LiveDatabase::RunCut),
      repair_method_(*this, &LiveDatabase::RunRepair) {}

LiveDatabase::~LiveDatabase() {
  capture_job_.Stop();
  cut_job_.Stop();
  repair_job_.Stop();
}

Result<void> LiveDatabase::Start() {
  RUNNEL_CHECK(!lock_);
  if (auto opened = OpenState(); !opened) {
    const MutexLock lock(mutex_);
    frozen_.reset();
    open_.reset();
    lock_.reset();
    return opened;
  }
  {
    const MutexLock lock(mutex_);
    state_ = DatabaseState::kWaiting;
  }
  capture_job_ = environment_.scheduler.Add(capture_method_, runtime::Pool::kCapture);
  cut_job_ = environment_.scheduler.Add(cut_method_, runtime::Pool::kTransfer);
  repair_job_ = environment_.scheduler.Add(repair_method_, runtime::Pool::kBulk);
  cut_job_.Wake();
  capture_job_.Wake();
  return {};
}

// Files of ours are as readable as the database, not more. One that does not exist yet has its
// folder's owner.
Result<void> LiveDatabase::OpenState() {
  fs::FileSystem& fs = environment_.fs;
  if (auto info = fs.Stat(options_.database)) {
    ownership_ = info->ownership;
  } else if (auto folder = fs.Stat(fs::ParentDirectory(options_.database))) {
    ownership_ = folder->ownership;
    ownership_.mode = 0600;
  }
  RUNNEL_TRY(lock_, LockState());
  RUNNEL_TRY(lock_file_, LockFile());
  RUNNEL_TRY(staging_, Staging::Open(fs, paths_.cuts(), ownership_, environment_.log));

  const MutexLock cutter_lock(cutter_mutex_);
  const MutexLock lock(mutex_);
  cutter_ = std::make_unique<Cutter>(
      CutterOptions{.paths = paths_, .ownership = ownership_, .encoding = options_.encoding}, fs,
      *staging_, environment_.log);
  RUNNEL_TRY(history_, cutter_->Open());
  history_confirmed_ = history_.kind != HistoryKind::kNone;
  pending_repair_.reset();
  RUNNEL_TRY(auto recovered, RecoverSegments(fs, paths_, ownership_, history_, options_.segment));
  open_txid_ = Next(history_.newest);
  if (recovered.frozen) {
    frozen_ = Frozen{.segment = std::move(recovered.frozen),
                     .repair = nullptr,
                     .timestamp = environment_.clock.Now()};
    open_txid_ = Next(open_txid_);
  }
  open_ = std::move(recovered.open);
  return {};
}

Result<std::unique_ptr<fs::FileLock>> LiveDatabase::LockState() {
  fs::FileSystem& fs = environment_.fs;
  RUNNEL_TRY_VOID(
      fs::CreateDirectoriesDurably(fs, options_.state_folder, paths_.runnel(), ownership_));
  auto lock = fs.Lock(paths_.lock(), ownership_);
  if (!lock && lock.error().code() == Errc::kBusy) {
    return Fail(Errc::kBusy, paths_.lock().string() +
                                 ": another Runnel daemon replicates this database; stop it first");
  }
  return lock;
}

// Zero if there is none.
Result<fs::FileIdentity> LiveDatabase::LockFile() {
  auto info = environment_.fs.Stat(paths_.lock());
  if (info) return info->identity;
  if (info.error().code() == Errc::kNotFound) return fs::FileIdentity{};
  return Fail(std::move(info).error());
}

// Somebody deleted the state folder, or the staged log in it. What was staged is gone, what was
// captured since cannot be cut without it; what is left is the newest txid, which no other content
// may get. So the next cut is its successor and holds every page, as where a replica is ahead of
// us.
Result<void> LiveDatabase::RenewLostState() {
  RUNNEL_TRY(const fs::FileIdentity found, LockFile());
  RUNNEL_TRY(const bool has_newest, staging_->HasNewest());
  const bool has_lock = found == lock_file_;
  if (has_lock && has_newest) return {};
  environment_.log.Error("the state folder was deleted while it is in use: made again",
                         {{"path", options_.database.string()},
                          {"folder", options_.state_folder.string()},
                          {"txid", cutter_->history().newest}});
  std::unique_ptr<fs::FileLock> lock;
  if (!has_lock) {
    RUNNEL_TRY(lock, LockState());
  }
  RUNNEL_TRY(const fs::FileIdentity lock_file, LockFile());
  RUNNEL_TRY_VOID(fs::CreateDirectoriesDurably(environment_.fs, options_.state_folder,
                                               paths_.cuts(), ownership_));
  RUNNEL_TRY_VOID(staging_->Clear());
  cutter_->LoseFiles();
  repair_.reset();
  // Last: what fails before is done again.
  if (lock) lock_ = std::move(lock);
  lock_file_ = lock_file;
  const MutexLock guard(mutex_);
  history_ = cutter_->history();
  CompareAllAnew();
  return {};
}

Result<void> LiveDatabase::Stop() {
  capture_job_.Stop();
  cut_job_.Stop();
  repair_job_.Stop();
  if (!lock_) return {};
  std::optional<Txid> made;
  auto cut = FinalCut(made);
  if (made) observer_.OnCut(*made);

  const MutexLock cutter_lock(cutter_mutex_);
  const MutexLock lock(mutex_);
  auto checkpointed = cutter_->Checkpoint();
  // What could not be cut stays for the next start.
  if (frozen_ && !frozen_->repair) (void)frozen_->segment->Flush();
  const bool open_is_whole = state_ == DatabaseState::kCapturing && open_ && open_->committed();
  if (open_is_whole) (void)open_->Flush();
  repair_.reset();
  frozen_.reset();
  open_.reset();
  raw_reader_.reset();
  capturer_.Disconnect();
  state_ = DatabaseState::kStopped;
  lock_.reset();
  RUNNEL_TRY_VOID(std::move(cut));
  return checkpointed;
}

Result<void> LiveDatabase::FinalCut(std::optional<Txid>& made) {
  const MutexLock cutter_lock(cutter_mutex_);
  {
    const MutexLock lock(mutex_);
    if (state_ == DatabaseState::kCapturing) {
      RUNNEL_TRY(const auto next, Service(environment_.clock.MonotonicNow()));
      (void)next;
    }
  }
  // At most what was frozen before and what was open.
  for (int i = 0; i < 2; ++i) {
    {
      const MutexLock lock(mutex_);
      const bool can_be_frozen = !frozen_ && state_ == DatabaseState::kCapturing && CanBeCut();
      if (can_be_frozen) Freeze(nullptr);
      if (!frozen_ || !CutAllowed()) return {};
    }
    RUNNEL_TRY(made, CutFrozen());
  }
  return {};
}

void LiveDatabase::NotifyWritten() {
  MonotonicTime look;
  {
    const MutexLock lock(pacing_mutex_);
    look = pacing_.OnNotify(environment_.clock.MonotonicNow());
  }
  capture_job_.WakeAt(look);
}

void LiveDatabase::NotifyMoved() {
  moved_ = true;
  capture_job_.Wake();
}

Result<void> LiveDatabase::AdoptHistory(Txid replica_newest) {
  {
    const MutexLock lock(mutex_);
    history_confirmed_ = true;
    if (replica_newest > history_.newest) adopt_ = replica_newest;
  }
  cut_job_.Wake();
  capture_job_.Wake();
  repair_job_.Wake();
  return {};
}

Result<Txid> LiveDatabase::RequestCut() {
  Txid target{};
  {
    const MutexLock lock(mutex_);
    const bool only_no_replica = state_ == DatabaseState::kScanning && !CutAllowed();
    if (only_no_replica) return Fail(Errc::kUnavailable, "no replica has been reached yet");
    if (state_ != DatabaseState::kCapturing) {
      return Fail(error_.value_or(Error(Errc::kUnavailable, "capture has not begun yet")));
    }
    if (!CutAllowed()) return Fail(Errc::kUnavailable, "no replica has been reached yet");
    auto serviced = Service(environment_.clock.MonotonicNow());
    capture_job_.Wake();  // what follows from this look, or from its failure, is its business
    RUNNEL_TRY(const auto next, std::move(serviced));
    (void)next;
    if (!open_->committed()) return Fail(error_.value_or(Error(Errc::kIo, "capture is behind")));
    target = frozen_ ? Next(history_.newest) : history_.newest;
    if (open_->has_pages()) {
      target = Next(target);
      if (frozen_) {
        cut_requested_ = true;
      } else {
        Freeze(nullptr);
      }
    }
  }
  cut_job_.Wake();
  return target;
}

void LiveDatabase::CompareAgain(CompareExtent extent) {
  {
    const MutexLock lock(mutex_);
    if (state_ == DatabaseState::kStopped) return;
    BeginComparison(extent, "the replica does not match");
  }
  TellStatus();
}

void LiveDatabase::ReleaseCuts(Txid last) {
  {
    const MutexLock lock(mutex_);
    release_through_ = std::max(release_through_, last);
  }
  cut_job_.Wake();
}

Result<std::unique_ptr<DatabaseScan>> LiveDatabase::BeginScan() {
  const MutexLock lock(mutex_);
  if (state_ != DatabaseState::kCapturing) {
    return Fail(Errc::kBusy, "the database is not being captured");
  }
  return BeginScanLocked();
}

bool LiveDatabase::IsCurrent(const DatabaseScan& scan) const {
  const MutexLock lock(mutex_);
  return state_ == DatabaseState::kCapturing && scan.start().continuity == continuity_ &&
         capturer_.CheckFiles();
}

DatabaseStatus LiveDatabase::status() const {
  const MutexLock lock(mutex_);
  return {.state = state_,
          .error = error_ ? error_ : cut_error_,
          .newest = history_.newest,
          .newest_at = history_.timestamp,
          .page_size = live_.state.page_size,
          .commit_pages = live_.state.commit_pages,
          .wal_bytes = live_.state.page_size == 0
                           ? 0
                           : wal::FrameEnd(live_.state.position.frame, live_.state.page_size),
          .uncut_bytes = (open_ && open_->has_pages() ? open_->size_bytes() : 0) +
                         (frozen_ ? frozen_->segment->size_bytes() : 0),
          .staged_bytes = staging_ ? staging_->total_bytes() : 0};
}

// ---- Database -----------------------------------------------------------------------------------

Database::Database(DatabaseOptions options, const Environment& environment,
                   DatabaseObserver& observer)
    : options_(std::move(options)),
      live_(std::make_unique<LiveDatabase>(options_, environment, observer)) {}
Database::~Database() = default;

Result<void> Database::Start() { return live_->Start(); }
Result<void> Database::Stop() { return live_->Stop(); }
void Database::NotifyWritten() { live_->NotifyWritten(); }
void Database::NotifyMoved() { live_->NotifyMoved(); }
Result<void> Database::AdoptHistory(Txid replica_newest) {
  return live_->AdoptHistory(replica_newest);
}
Result<Txid> Database::RequestCut() { return live_->RequestCut(); }
void Database::CompareAgain(CompareExtent extent) { live_->CompareAgain(extent); }
void Database::ReleaseCuts(Txid last) { live_->ReleaseCuts(last); }
Result<std::unique_ptr<DatabaseScan>> Database::BeginScan() { return live_->BeginScan(); }
bool Database::IsCurrent(const DatabaseScan& scan) const { return live_->IsCurrent(scan); }
Staging& Database::staging() { return live_->staging(); }
DatabaseStatus Database::status() const { return live_->status(); }

}  // namespace runnel::capture
