// The live wal-index (-shm) of a database, seen through an open connection.
//
// A commit is a commit when the header here says so (a WAL may hold a valid commit frame that was
// never published, and that the next writer overwrites). SQLite offers no call for this header
// without a transaction; it is read through the VFS, the way SQLite's own readers do. The layout is
// internal to SQLite but has not changed since 3.7.0; SelfTestWalIndexLayout() proves it for the
// SQLite that is compiled in before a daemon trusts it.

#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/result.h"
#include "fs/file_system.h"
#include "sqlite/connection.h"

namespace runnel::sqlite {

struct LiveWalIndex {
  WalIndexBytes header{};
  std::uint32_t backfilled = 0;               // nBackfill
  std::uint32_t backfill_attempted = 0;       // nBackfillAttempted
  std::array<std::uint32_t, 5> read_marks{};  // of slots 0..4; a mark means nothing by itself
};

// The header that is published now. No system call, no lock. The counters are read after the
// header, each for itself: they may already belong to a newer one.
//
// kBusy if a writer was in the middle of publishing each time we looked, or died there: then the
// next Begin(), of anybody, repairs it. The connection must have had a successful Begin().
Result<LiveWalIndex> ReadLiveWalIndex(Connection& connection);

// SQLite's WRITE lock without a transaction: no application can commit while it is held, and none
// of its readers is disturbed. (A `BEGIN IMMEDIATE` would hold a read slot into which the next
// writer runs at its end, and so keep the WAL from restarting.) Released by the destructor.
class WriteLock {
 public:
  // Never waits: kBusy while a writer has it. `connection` must outlive the lock, must have had a
  // successful Begin(), and may not Begin() or Checkpoint() while it carries the lock.
  static Result<WriteLock> Take(Connection& connection);

  // As Take(), so many times in a row until it succeeds: a writer that never pauses leaves the lock
  // for some microseconds between two commits. Nothing if it was held each time.
  static Result<std::optional<WriteLock>> TakeBetweenCommits(Connection& connection, int tries);

  WriteLock(WriteLock&& other) noexcept : file_(other.file_) { other.file_ = nullptr; }
  WriteLock(const WriteLock&) = delete;
  WriteLock& operator=(WriteLock&&) = delete;
  ~WriteLock();

 private:
  explicit WriteLock(sqlite3_file* file) : file_(file) {}

  sqlite3_file* file_;
};

enum class LockState : std::uint8_t { kFree, kHeld };

// Whether somebody else holds the WRITE or the CKPT lock, found by taking and releasing it. As with
// WriteLock::Take(), `connection` must be idle.
Result<LockState> ProbeWriteLock(Connection& connection);
Result<LockState> ProbeCheckpointLock(Connection& connection);

// kUnsupported unless the SQLite that is linked is 3.51.3, or 3.53.0 or later, and was compiled
// with what this code rests on.
Result<void> CheckSqliteBuild();

// Makes a database in `directory` (which exists), commits to it, checkpoints, restarts and
// truncates its WAL, and compares at each step what this folder reads of the wal-index with the WAL
// file and with SQLite's own snapshot. kUnsupported if any of it differs: then nothing that this
// program believes about commits is true. Leaves nothing behind.
Result<void> SelfTestWalIndexLayout(fs::FileSystem& file_system, const fs::Path& directory);

}  // namespace runnel::sqlite
