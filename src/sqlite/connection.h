// One connection of the daemon to a live database.
//
// It is made by OpenRegistry::Open() and by nothing else, because a second door to a database file
// inside one process would drop SQLite's locks. What a caller may rely on:
//
//   (1) It never writes to the database but by Checkpoint() and SwitchToWal(), never waits for a
//       lock (Errc::kBusy at once), never checkpoints by itself, and leaves the WAL alone on close.
//   (2) No call but SwitchToWal() loads the schema: a database of which only the first 32 bytes are
//       plain (SQLCipher, cipher_plaintext_header_size=32) works.
//   (3) A transaction that Begin() opened holds one of the WAL's read slots until Rollback(): the
//       WAL cannot restart under slots 1..4, and nothing is backfilled under slot 0.
//   (4) While any connection is open after its first Begin(), nobody can delete the WAL, leave WAL
//       mode or change the page size (SQLite's SHARED lock on the database file is kept).
//
//     idle --Begin--> reading --Rollback--> idle        Checkpoint, SwitchToWal: only when idle
//
// Failures: kBusy (a lock), kNoSpace, kIo, kPermissionDenied (naming path and user), kNotFound,
// kCorruption, kPreconditionFailed (not in WAL mode), kUnavailable (no memory). The message names
// SQLite's extended code and the path. Calling out of order is a bug and stops the process.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/result.h"
#include "fs/file_system.h"
#include "fs/stored_path.h"

struct sqlite3;
struct sqlite3_file;
struct sqlite3_stmt;

namespace runnel::sqlite {

class OpenRegistry;

// One copy of the header of the wal-index, as it lies in the -shm: host byte order, its own
// checksum verified. wal::WalIndexHeader takes it apart.
using WalIndexBytes = std::array<std::byte, 48>;

enum class ReadSlot : std::uint8_t {
  kAny,      // slot 0 if, and only if, the WAL is completely backfilled
  kNotZero,  // a slot in 1..4, unless the WAL has no frame at all
};

enum class JournalMode : std::uint8_t { kWal, kOther };

enum class CheckpointMode : std::uint8_t { kPassive, kFull, kRestart, kTruncate };

struct CheckpointResult {
  // The CKPT lock was taken by somebody else (then the counts are 0), or, in a mode other than
  // kPassive, a writer or reader kept the checkpoint from its end.
  bool busy = false;
  std::uint32_t log_frames = 0;  // of the WAL, when the checkpoint read its header
  std::uint32_t backfilled = 0;  // of these, already in the database file (nBackfill)
};

// The WAL and the wal-index of a database, which SQLite finds by name.
struct WalFiles {
  fs::FileIdentity wal;  // zero where there is no such file
  fs::FileIdentity index;
  friend bool operator==(const WalFiles&, const WalFiles&) = default;
};

// Not thread-safe: one thread, or one strand, at a time.
class Connection {
 public:
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The database as it was named to OpenRegistry::Open(), and the WAL that SQLite uses for it
  // (beside the real file, if `path()` is a symbolic link). The WAL need not exist.
  const fs::StoredPath& path() const { return path_; }
  fs::Path wal_path() const { return wal_path_; }
  fs::Path wal_index_path() const;

  // Of the file that is open, which is no longer at path() once HasMoved().
  fs::FileIdentity identity() const { return identity_; }

  // Opens a read transaction at the newest commit and really takes its read slot. Repairs the
  // wal-index first (SQLite's recovery) if a writer died, and creates WAL and wal-index files that
  // are missing. kPreconditionFailed, and no transaction, if the database is not in WAL mode.
  Result<void> Begin(ReadSlot slot = ReadSlot::kAny);

  // Ends the transaction. After a failure only destruction is left.
  Result<void> Rollback();

  bool in_transaction() const { return in_transaction_; }

  // The position that the open transaction holds: every frame up to its mxFrame is committed and
  // visible to it. A WAL that was never written yields frame 0 with salts and checksums zero.
  Result<WalIndexBytes> HeldHeader();

  // Without a transaction of this connection. kBusy is not an error of Checkpoint(): see `busy`.
  Result<CheckpointResult> Checkpoint(CheckpointMode mode);

  Result<JournalMode> QueryJournalMode();

  // Sets the persistent journal mode to WAL. Success if it was WAL already;
  // kUnsupported if SQLite kept another mode (a file system without shared memory), or cannot read
  // the schema (damaged or encrypted); kBusy while an application is in a transaction.
  Result<void> SwitchToWal();

  // As the database header says. kCorruption if there is no header yet, or no valid size in it.
  Result<std::uint32_t> PageSize();

  // The database file's size on disk. In WAL mode the database may be larger or smaller.
  Result<std::uint64_t> FileSize();

  // Reads the database file through SQLite's own handle, past its cache and the WAL: bytes as they
  // are on disk. Fills all of `out`, with zeros past the end of the file; returns how many bytes
  // were real.
  Result<std::size_t> ReadDatabaseFile(std::uint64_t offset, MutableBytes out);

  // Make durable what was written so far, by whomever, to the database file or to the WAL, without
  // any lock: for a checkpoint that comes after it and should find little left to sync. While
  // writers go on, what they write meanwhile is not waited for.
  Result<void> SyncDatabaseFile();
  Result<void> SyncWal();

  // The file at path() is not the one that is open: deleted, or replaced by rename.
  Result<bool> HasMoved();

  // What the names of WAL and wal-index stood for right after the first Begin(), zero before. It is
  // what this connection has open if FindWalFiles() gave the same before that Begin(), or if
  // another connection already had these files open then (which keeps their numbers theirs).
  const WalFiles& wal_files() const { return wal_files_; }

  // What the names stand for now.
  Result<WalFiles> FindWalFiles() const;

  // Whether somebody else has the database open, who is not between two transactions of another
  // journal mode. Asks for the lock that excludes everybody, and gives it back: for an instant a
  // newcomer sees SQLITE_BUSY. Before the first Begin(), and with no other connection of this
  // process in a transaction. kBusy if somebody has that lock.
  Result<bool> IsOpenElsewhere();

  // Finalizes statements and empties caches, for a connection that rests. An open transaction
  // stays. The next call pays for them again.
  void ReleaseMemory();

  // For wal_index.h only: SQLite's handle of the database file, after a first successful Begin().
  sqlite3_file* wal_index_file();

 private:
  friend class OpenRegistry;

  Connection(OpenRegistry& registry, fs::Path path, sqlite3* db);

  Result<void> Configure();
  Result<void> BeginAnyMode();
  Result<void> NoteWalFiles();
  Result<void> Step(sqlite3_stmt*& statement, const char* sql, const char* what);
  Result<void> SyncFile(sqlite3_file* file);
  Result<void> EndAfterFailedBegin(Error error);
  bool HasWal();
  Error SqliteError(int code, const char* what) const;

  OpenRegistry& registry_;
  const fs::StoredPath path_;
  sqlite3* db_;
  sqlite3_file* file_ = nullptr;  // owned by db_
  fs::StoredPath wal_path_;
  fs::FileIdentity identity_;
  WalFiles wal_files_;  // zero before the first Begin()
  bool in_transaction_ = false;
  sqlite3_stmt* begin_ = nullptr;
  sqlite3_stmt* touch_ = nullptr;  // reads page 1, and so takes the read slot
  sqlite3_stmt* rollback_ = nullptr;
};

}  // namespace runnel::sqlite
