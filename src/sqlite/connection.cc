#include "sqlite/connection.h"

#include <sqlite3.h>

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/ids.h"
#include "sqlite/open_registry.h"
#include "sqlite/sqlite_error.h"
#include "sqlite/wal_index_layout.h"

namespace runnel::sqlite {
namespace {

constexpr const char* kSchema = "main";

int ToSqlite(CheckpointMode mode) {
  switch (mode) {
    case CheckpointMode::kPassive: return SQLITE_CHECKPOINT_PASSIVE;
    case CheckpointMode::kFull: return SQLITE_CHECKPOINT_FULL;
    case CheckpointMode::kRestart: return SQLITE_CHECKPOINT_RESTART;
    case CheckpointMode::kTruncate: return SQLITE_CHECKPOINT_TRUNCATE;
  }
  std::unreachable();
}

int LastErrno(sqlite3_file* file) {
  int value = 0;
  file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &value);
  return value;
}

}  // namespace

Connection::Connection(OpenRegistry& registry, fs::Path path, sqlite3* db)
    : registry_(registry), path_(std::move(path)), db_(db) {}

// Without a handle if the registry, which holds its mutex then, has closed a connection that it did
// not let out.
Connection::~Connection() {
  if (db_ != nullptr) registry_.Close(*this);
}

Error Connection::SqliteError(int code, const char* what) const {
  return MakeError(code, sqlite3_system_errno(db_), path_.native(), what);
}

Result<void> Connection::Configure() {
  struct Setting {
    int op;
    int on;
  };
  constexpr auto kSettings = std::to_array<Setting>({
      {SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1},
      {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
      {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
      {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
      {SQLITE_DBCONFIG_DEFENSIVE, 1},
  });
  for (const Setting& setting : kSettings) {
    const int rc = sqlite3_db_config(db_, setting.op, setting.on, nullptr);
    if (rc != SQLITE_OK) return Fail(SqliteError(rc, "configure"));
  }
  // 48 KB of lookaside a connection would be most of what an idle database costs.
  int rc = sqlite3_db_config(db_, SQLITE_DBCONFIG_LOOKASIDE, nullptr, 0, 0);
  if (rc == SQLITE_OK) rc = sqlite3_busy_timeout(db_, 0);
  if (rc == SQLITE_OK) sqlite3_wal_autocheckpoint(db_, 0);
  // A map of the database would raise SIGBUS when an application truncates the file.
  sqlite3_int64 mmap_size = 0;
  if (rc == SQLITE_OK) rc = sqlite3_file_control(db_, kSchema, SQLITE_FCNTL_MMAP_SIZE, &mmap_size);
  if (rc == SQLITE_OK) rc = sqlite3_file_control(db_, kSchema, SQLITE_FCNTL_FILE_POINTER, &file_);
  if (rc != SQLITE_OK) return Fail(SqliteError(rc, "configure"));
  wal_path_ = sqlite3_filename_wal(sqlite3_db_filename(db_, kSchema));
  return {};
}

// Prepares `statement` if it is not yet, and runs it to its first row or its end.
Result<void> Connection::Step(sqlite3_stmt*& statement, const char* sql, const char* what) {
  if (statement == nullptr) {
    const int rc = sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (rc != SQLITE_OK) return Fail(SqliteError(rc, what));
  }
  const int step = sqlite3_step(statement);
  const int errno_value = sqlite3_system_errno(db_);
  sqlite3_reset(statement);
  if (step == SQLITE_ROW || step == SQLITE_DONE) return {};
  return Fail(MakeError(step, errno_value, path_.native(), what));
}

// In WAL mode SQLite keeps the WAL open between transactions. A rollback journal would be open only
// while this connection writes, which it does not.
bool Connection::HasWal() {
  sqlite3_file* journal = nullptr;
  sqlite3_file_control(db_, kSchema, SQLITE_FCNTL_JOURNAL_POINTER, &journal);
  return journal != nullptr && journal->pMethods != nullptr;
}

Result<void> Connection::EndAfterFailedBegin(Error error) {
  if (sqlite3_get_autocommit(db_) == 0) (void)Step(rollback_, "ROLLBACK", "end read transaction");
  return Fail(std::move(error));
}

Result<void> Connection::BeginAnyMode() {
  RUNNEL_CHECK(!in_transaction_);
  RUNNEL_TRY_VOID(Step(begin_, "BEGIN", "begin"));
  // The header value lies in the first 100 bytes; no schema is loaded for it, and what it is does
  // not matter (it may be encrypted).
  auto touched = Step(touch_, "PRAGMA main.schema_version", "begin read transaction");
  if (!touched) return EndAfterFailedBegin(std::move(touched).error());
  in_transaction_ = true;
  if (HasWal() && wal_files_ == WalFiles{}) {
    if (auto noted = NoteWalFiles(); !noted) {
      RUNNEL_TRY_VOID(Rollback());
      return noted;
    }
  }
  return {};
}

Result<void> Connection::NoteWalFiles() {
  RUNNEL_TRY(const WalFiles files, FindWalFiles());
  if (files.wal == fs::FileIdentity{} || files.index == fs::FileIdentity{}) {
    const fs::Path gone = files.wal == fs::FileIdentity{} ? wal_path() : wal_index_path();
    return Fail(Errc::kUnavailable, gone.native() + ": deleted while it was opened");
  }
  wal_files_ = files;
  return {};
}

Result<void> Connection::Begin(ReadSlot slot) {
  if (slot == ReadSlot::kAny || wal_files_ == WalFiles{}) {
    RUNNEL_TRY_VOID(BeginAnyMode());
    if (!HasWal()) {
      RUNNEL_TRY_VOID(Rollback());
      return Fail(Errc::kPreconditionFailed, path_.native() + ": the database is not in WAL mode");
    }
    if (slot == ReadSlot::kAny) return {};
    RUNNEL_TRY_VOID(Rollback());
  }
  RUNNEL_CHECK(!in_transaction_);
  RUNNEL_TRY_VOID(Step(begin_, "BEGIN", "begin"));
  // A snapshot that opens the transaction itself never uses slot 0, so that it can be kept.
  sqlite3_snapshot* snapshot = nullptr;
  const int rc = sqlite3_snapshot_get(db_, kSchema, &snapshot);
  sqlite3_snapshot_free(snapshot);
  // SQLITE_ERROR: the transaction is open, but a WAL that was never written has no snapshot.
  if (rc != SQLITE_OK && rc != SQLITE_ERROR) {
    return EndAfterFailedBegin(SqliteError(rc, "begin read transaction"));
  }
  if (sqlite3_txn_state(db_, kSchema) != SQLITE_TXN_READ) {
    return EndAfterFailedBegin(SqliteError(SQLITE_ERROR, "begin read transaction"));
  }
  in_transaction_ = true;
  return {};
}

Result<void> Connection::Rollback() {
  RUNNEL_CHECK(in_transaction_);
  RUNNEL_TRY_VOID(Step(rollback_, "ROLLBACK", "end read transaction"));
  in_transaction_ = false;
  return {};
}

Result<WalIndexBytes> Connection::HeldHeader() {
  RUNNEL_CHECK(in_transaction_);
  sqlite3_snapshot* snapshot = nullptr;
  const int rc = sqlite3_snapshot_get(db_, kSchema, &snapshot);
  // All of checksum and salts zero: no frame was ever written since the wal-index was made.
  if (rc == SQLITE_ERROR) return NeverWrittenWalIndexHeader();
  if (rc != SQLITE_OK) return Fail(SqliteError(rc, "snapshot"));
  static_assert(sizeof(snapshot->hidden) == sizeof(WalIndexBytes));
  WalIndexBytes header;
  std::memcpy(header.data(), snapshot->hidden, header.size());
  sqlite3_snapshot_free(snapshot);
  return header;
}

Result<CheckpointResult> Connection::Checkpoint(CheckpointMode mode) {
  RUNNEL_CHECK(!in_transaction_);
  if (wal_files_ == WalFiles{}) {  // SQLite would run a statement with the schema
    RUNNEL_TRY_VOID(Begin());
    RUNNEL_TRY_VOID(Rollback());
  }
  int log_frames = -1;
  int backfilled = -1;
  const int rc = sqlite3_wal_checkpoint_v2(db_, kSchema, ToSqlite(mode), &log_frames, &backfilled);
  const bool busy = (rc & 0xff) == SQLITE_BUSY;
  if (rc != SQLITE_OK && !busy) return Fail(SqliteError(rc, "checkpoint"));
  return CheckpointResult{.busy = busy,
                          .log_frames = static_cast<std::uint32_t>(std::max(log_frames, 0)),
                          .backfilled = static_cast<std::uint32_t>(std::max(backfilled, 0))};
}

Result<JournalMode> Connection::QueryJournalMode() {
  RUNNEL_TRY_VOID(BeginAnyMode());
  const JournalMode mode = HasWal() ? JournalMode::kWal : JournalMode::kOther;
  RUNNEL_TRY_VOID(Rollback());
  return mode;
}

Result<void> Connection::SwitchToWal() {
  RUNNEL_CHECK(!in_transaction_);
  RUNNEL_TRY(const JournalMode mode, QueryJournalMode());
  if (mode == JournalMode::kWal) return {};
  sqlite3_stmt* statement = nullptr;
  int rc = sqlite3_prepare_v2(db_, "PRAGMA main.journal_mode=WAL", -1, &statement, nullptr);
  std::string kept;
  if (rc == SQLITE_OK) {
    rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
      const unsigned char* text = sqlite3_column_text(statement, 0);
      if (text != nullptr) kept = reinterpret_cast<const char*>(text);
      rc = SQLITE_OK;
    }
  }
  const int errno_value = sqlite3_system_errno(db_);
  sqlite3_finalize(statement);
  sqlite3_db_release_memory(db_);
  if (rc != SQLITE_OK && rc != SQLITE_DONE) {
    const Error error = MakeError(rc, errno_value, path_.native(), "switch to WAL mode");
    // The schema is loaded for this. Of an encrypted one SQLite says that it is corrupt, or of a
    // format it does not know, as the noise in it has it.
    if (error.code() != Errc::kCorruption && error.code() != Errc::kInternal) return Fail(error);
    return Fail(Errc::kUnsupported,
                error.message() +
                    ": damaged, or encrypted (then its application has to set journal_mode=WAL)");
  }
  if (kept == "wal") return {};
  return Fail(Errc::kUnsupported, path_.native() +
                                      ": cannot be switched to WAL mode, SQLite keeps " +
                                      (kept.empty() ? "its mode" : kept));
}

Result<std::uint32_t> Connection::PageSize() {
  constexpr std::uint64_t kFilePageSizeOffset = 16;
  std::array<std::byte, 2> field;
  RUNNEL_TRY(const std::size_t real, ReadDatabaseFile(kFilePageSizeOffset, field));
  const auto encoded = GetBigEndian<std::uint16_t>(field, 0);
  const std::uint32_t page_size = encoded == 1 ? kPageSizeMax : encoded;
  if (real < field.size() || !IsValidPageSize(page_size)) {
    return Fail(Errc::kCorruption, path_.native() + ": no valid page size in the database header");
  }
  return page_size;
}

Result<std::uint64_t> Connection::FileSize() {
  sqlite3_int64 size = 0;
  const int rc = file_->pMethods->xFileSize(file_, &size);
  if (rc != SQLITE_OK) return Fail(MakeError(rc, LastErrno(file_), path_.native(), "file size"));
  return static_cast<std::uint64_t>(size);
}

Result<std::size_t> Connection::ReadDatabaseFile(std::uint64_t offset, MutableBytes out) {
  RUNNEL_CHECK(out.size() <= std::numeric_limits<int>::max());
  RUNNEL_CHECK(offset <= std::numeric_limits<sqlite3_int64>::max() - out.size());
  const int rc = file_->pMethods->xRead(file_, out.data(), static_cast<int>(out.size()),
                                        static_cast<sqlite3_int64>(offset));
  if (rc == SQLITE_OK) return out.size();
  if (rc != SQLITE_IOERR_SHORT_READ) {
    return Fail(MakeError(rc, LastErrno(file_), path_.native(), "read"));
  }
  // SQLite has filled the rest with zeros but does not say from where.
  RUNNEL_TRY(const std::uint64_t size, FileSize());
  const std::uint64_t real = size > offset ? size - offset : 0;
  return static_cast<std::size_t>(std::min<std::uint64_t>(real, out.size()));
}

Result<void> Connection::SyncDatabaseFile() { return SyncFile(file_); }

Result<void> Connection::SyncWal() {
  sqlite3_file* wal = nullptr;
  const int rc = sqlite3_file_control(db_, kSchema, SQLITE_FCNTL_JOURNAL_POINTER, &wal);
  if (rc != SQLITE_OK) return Fail(SqliteError(rc, "find the WAL"));
  return SyncFile(wal);
}

Result<void> Connection::SyncFile(sqlite3_file* file) {
  if (file == nullptr || file->pMethods == nullptr) return {};  // not open yet: nothing written
  const int rc = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
  if (rc != SQLITE_OK) return Fail(MakeError(rc, LastErrno(file), path_.native(), "sync"));
  return {};
}

Result<bool> Connection::HasMoved() {
  int moved = 0;
  const int rc = sqlite3_file_control(db_, kSchema, SQLITE_FCNTL_HAS_MOVED, &moved);
  if (rc != SQLITE_OK) return Fail(SqliteError(rc, "has moved"));
  return moved != 0;
}

fs::Path Connection::wal_index_path() const {
  std::string path = wal_path_.native();
  path.replace(path.size() - 4, 4, "-shm");
  return path;
}

Result<WalFiles> Connection::FindWalFiles() const {
  const auto find = [this](const fs::Path& path) -> Result<fs::FileIdentity> {
    auto info = registry_.file_system_.Stat(path);
    if (info) return info->identity;
    if (info.error().code() == Errc::kNotFound) return fs::FileIdentity{};
    return Fail(std::move(info).error());
  };
  WalFiles files;
  RUNNEL_TRY(files.wal, find(wal_path_));
  RUNNEL_TRY(files.index, find(wal_index_path()));
  return files;
}

Result<bool> Connection::IsOpenElsewhere() {
  RUNNEL_CHECK(!in_transaction_ && wal_files_ == WalFiles{});
  int rc = file_->pMethods->xLock(file_, SQLITE_LOCK_SHARED);
  if (rc == SQLITE_OK) {
    rc = file_->pMethods->xLock(file_, SQLITE_LOCK_EXCLUSIVE);
    const int unlocked = file_->pMethods->xUnlock(file_, SQLITE_LOCK_NONE);
    if (unlocked != SQLITE_OK) return Fail(MakeError(unlocked, 0, path_.native(), "unlock"));
    if ((rc & 0xff) == SQLITE_BUSY) return true;
  }
  if (rc != SQLITE_OK) return Fail(MakeError(rc, LastErrno(file_), path_.native(), "lock"));
  return false;
}

void Connection::ReleaseMemory() {
  for (sqlite3_stmt** statement : {&begin_, &touch_, &rollback_}) {
    sqlite3_finalize(*statement);
    *statement = nullptr;
  }
  sqlite3_db_release_memory(db_);
}

sqlite3_file* Connection::wal_index_file() {
  RUNNEL_CHECK(wal_files_ != WalFiles{});
  return file_;
}

}  // namespace runnel::sqlite
