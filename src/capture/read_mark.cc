#include "capture/read_mark.h"

#include <chrono>

#include "wal/wal_index_header.h"

namespace runnel::capture {
namespace {

// How long CKPT and WRITE must both be held before their holder counts as a FULL, RESTART or
// TRUNCATE that waits for our slot. Such a one held WRITE when it read the header, and so cannot
// be older than the restart.
constexpr auto kWaitingCheckpointAfter = std::chrono::milliseconds(20);

// An application that is about to open the WAL has the database open for an instant without it.
constexpr int kMissingFileLooks = 4;
constexpr auto kMissingFileLook = std::chrono::milliseconds(5);

// A WAL or wal-index that was made while we opened it is opened once more, to know which one it is.
constexpr int kOpenTries = 3;

// Looks further apart than this do not show that the locks were held all the time in between.
constexpr auto kUnbrokenSeries = std::chrono::milliseconds(10);

}  // namespace

ReadMark::ReadMark(sqlite::OpenRegistry& registry, fs::Path database, Clock& clock)
    : registry_(registry), database_(std::move(database)), clock_(clock) {}

// The first of this process, and in a transaction. What its names stood for before and after it
// opened its files is what it has open.
Result<std::unique_ptr<sqlite::Connection>> ReadMark::OpenFirst() {
  was_alone_ = false;
  for (int i = 0; i < kOpenTries; ++i) {
    RUNNEL_TRY(auto connection, registry_.Open(database_));
    RUNNEL_TRY(const sqlite::WalFiles before, AwaitWalFiles(*connection));
    RUNNEL_TRY_VOID(connection->Begin());
    if (connection->wal_files() == before) return connection;
  }
  return Fail(Errc::kUnavailable, database_.native() + ": its WAL is replaced over and over");
}

// SQLite makes a WAL or a wal-index that is missing. But nobody has a database in WAL mode open
// without both, unless they were deleted under him: then they are not missing to him, and he would
// go on unseen.
Result<sqlite::WalFiles> ReadMark::AwaitWalFiles(sqlite::Connection& connection) {
  for (int look = 1;; ++look) {
    RUNNEL_TRY(const sqlite::WalFiles files, connection.FindWalFiles());
    if (files.wal != fs::FileIdentity{} && files.index != fs::FileIdentity{}) return files;
    const auto elsewhere = connection.IsOpenElsewhere();
    if (elsewhere && !*elsewhere) {
      was_alone_ = true;
      return files;
    }
    const bool busy = !elsewhere && elsewhere.error().code() == Errc::kBusy;  // a last close, often
    if (!elsewhere && (!busy || look == kMissingFileLooks)) return Fail(elsewhere.error());
    if (look == kMissingFileLooks) {
      const fs::Path missing =
          files.wal == fs::FileIdentity{} ? connection.wal_path() : connection.wal_index_path();
      return Fail(Errc::kUnavailable,
                  missing.native() +
                      ": was deleted while applications have the database open; they have to be "
                      "restarted, their commits are not seen until then");
    }
    clock_.Sleep(kMissingFileLook);
  }
}

Result<std::unique_ptr<sqlite::Connection>> ReadMark::OpenBeside() {
  RUNNEL_TRY_VOID(CheckFiles());  // or SQLite would make another
  RUNNEL_TRY(auto connection, registry_.Open(database_));
  // Lock calls need the wal-index mapped, which the first transaction does. Its slot is slot 0 or a
  // mark at the newest commit: neither holds anything up for the instant that it lives.
  RUNNEL_TRY_VOID(connection->Begin());
  RUNNEL_TRY_VOID(connection->Rollback());
  RUNNEL_TRY_VOID(CheckSameFiles(connection->wal_files()));
  return connection;
}

Result<void> ReadMark::CheckFiles() const {
  RUNNEL_TRY(const sqlite::WalFiles now, holder_->FindWalFiles());
  return CheckSameFiles(now);
}

Result<void> ReadMark::CheckSameFiles(const sqlite::WalFiles& files) const {
  const sqlite::WalFiles& ours = holder_->wal_files();
  if (files == ours) return {};
  const fs::Path path = files.wal != ours.wal ? holder_->wal_path() : holder_->wal_index_path();
  return Fail(Errc::kUnavailable,
              path.native() + ": was deleted or replaced while the database is open");
}

Result<void> ReadMark::Acquire() {
  RUNNEL_CHECK(!acquired());
  RUNNEL_TRY(auto connection, OpenFirst());
  RUNNEL_TRY(const sqlite::WalIndexBytes header, connection->HeldHeader());
  holder_ = std::move(connection);
  auto state = StateOf(header);
  if (!state) {
    Release();
    return Fail(std::move(state).error());
  }
  held_ = *state;
  held_header_ = header;
  // A checkpointer may have been at work since before the last restart; we were not there to see.
  // The first move into slot 1..4 out of slot 0 therefore has to pass the fence like any other.
  fenced_ = {};
  blocked_.reset();
  slot_zero_moves_ = 0;
  return {};
}

void ReadMark::Release() {
  write_locker_.reset();
  checkpointer_.reset();
  spare_.reset();
  holder_.reset();
  held_ = {};
  held_header_ = {};
}

// A wal-index that has not seen a frame since it was made knows neither page size nor database
// size; both are the database file's then.
Result<WalState> ReadMark::StateOf(const sqlite::WalIndexBytes& bytes) {
  RUNNEL_TRY(const wal::WalIndexHeader header, wal::ParseWalIndexHeader(bytes));
  WalState state{.position = {.salts = header.salts, .frame = header.max_frame, .checksum = {}},
                 .commit_pages = header.commit_pages,
                 .page_size = header.page_size};
  if (header.max_frame != FrameNo{0}) state.position.checksum = header.frame_checksum;
  if (state.position.frame == FrameNo{0} && (state.page_size == 0 || state.commit_pages == 0)) {
    RUNNEL_TRY(state.page_size, holder_->PageSize());
    RUNNEL_TRY(const std::uint64_t size_bytes, holder_->FileSize());
    state.commit_pages = static_cast<std::uint32_t>(size_bytes / state.page_size);
  }
  return state;
}

Result<LiveWal> ReadMark::Live() {
  RUNNEL_TRY(const sqlite::LiveWalIndex live, sqlite::ReadLiveWalIndex(*holder_));
  // What has not changed costs no system call, even where the WAL was never written.
  if (live.header == held_header_) {
    return LiveWal{.state = held_, .backfilled = FrameNo{live.backfilled}};
  }
  RUNNEL_TRY(const WalState state, StateOf(live.header));
  return LiveWal{.state = state, .backfilled = FrameNo{live.backfilled}};
}

Result<MoveResult> ReadMark::Advance(const std::function<Result<void>(const WalState&)>& capture) {
  RUNNEL_TRY(sqlite::Connection * next, OpenOnDemand(spare_));
  // What is completely backfilled before the transaction, and the newest commit in it too, is read
  // from slot 0.
  const auto before = Live();
  RUNNEL_TRY_VOID(next->Begin());
  const auto try_move = [&]() -> Result<MoveResult> {
    RUNNEL_TRY(const sqlite::WalIndexBytes header, next->HeldHeader());
    RUNNEL_TRY(const WalState state, StateOf(header));
    RUNNEL_TRY_VOID(capture(state));
    RUNNEL_TRY(const bool passes, PassesFence(state.position.salts));
    if (!passes) return MoveResult::kFenced;
    RUNNEL_TRY_VOID(holder_->Rollback());
    std::swap(holder_, spare_);
    held_ = state;
    held_header_ = header;
    const bool slot_zero = before && before->state.position == state.position &&
                           before->backfilled >= state.position.frame;
    slot_zero_moves_ = slot_zero ? slot_zero_moves_ + 1 : 0;
    return MoveResult::kMoved;
  };
  auto moved = try_move();
  if (!moved || *moved == MoveResult::kFenced) {
    if (spare_->in_transaction()) RUNNEL_TRY_VOID(spare_->Rollback());
  }
  return moved;
}

// Whether the CKPT lock was seen free since `salts` came into force. A checkpointer that read the
// header before the restart, and that an old SQLite lets go on after it (the WAL-reset bug), still
// holds the lock; slot 0 keeps it from copying anything.
Result<bool> ReadMark::PassesFence(const wal::Salts& salts) {
  if (salts == fenced_) return true;
  RUNNEL_TRY(sqlite::Connection * connection, OpenOnDemand(checkpointer_));
  RUNNEL_TRY(const sqlite::LockState checkpoint, sqlite::ProbeCheckpointLock(*connection));
  if (checkpoint == sqlite::LockState::kHeld) {
    RUNNEL_TRY(const bool waits_for_us, IsWaitingForUs(*connection));
    if (!waits_for_us) return false;
  }
  fenced_ = salts;
  blocked_.reset();
  return true;
}

Result<bool> ReadMark::IsWaitingForUs(sqlite::Connection& connection) {
  const MonotonicTime now = clock_.MonotonicNow();
  RUNNEL_TRY(const LiveWal live, Live());
  const bool unbroken = blocked_ && now - blocked_->last_look <= kUnbrokenSeries &&
                        blocked_->newest == live.state.position;
  if (!unbroken) blocked_ = {.since = now, .last_look = now, .newest = live.state.position};
  blocked_->last_look = now;
  if (now - blocked_->since < kWaitingCheckpointAfter) return false;
  RUNNEL_TRY(const sqlite::LockState write, sqlite::ProbeWriteLock(connection));
  return write == sqlite::LockState::kHeld;
}

Result<sqlite::Connection*> ReadMark::OpenOnDemand(
    std::unique_ptr<sqlite::Connection>& connection) {
  if (!connection) {
    RUNNEL_TRY(connection, OpenBeside());
  }
  return connection.get();
}

Result<sqlite::Connection*> ReadMark::Checkpointer() { return OpenOnDemand(checkpointer_); }

Result<void> ReadMark::PrepareCheckpoint() {
  RUNNEL_TRY(const sqlite::Connection* connection, Checkpointer());
  (void)connection;
  return {};
}

Result<sqlite::CheckpointResult> ReadMark::Checkpoint() {
  RUNNEL_TRY(sqlite::Connection * connection, Checkpointer());
  RUNNEL_TRY_VOID(CheckFiles());
  return connection->Checkpoint(sqlite::CheckpointMode::kPassive);
}

Result<sqlite::Connection*> ReadMark::WriteLocker() { return OpenOnDemand(write_locker_); }

void ReadMark::Rest() {
  write_locker_.reset();
  checkpointer_.reset();
  spare_.reset();
  if (holder_) holder_->ReleaseMemory();
}

}  // namespace runnel::capture
