#include "sqlite/wal_index.h"

#include <sqlite3.h>

#include <atomic>
#include <cstring>

#include "base/check.h"
#include "sqlite/sqlite_error.h"
#include "sqlite/wal_index_layout.h"

namespace runnel::sqlite {
namespace {

// A writer needs some tens of nanoseconds to publish. One that is descheduled in between, or dead,
// is not worth waiting for here.
constexpr int kMaxTries = 64;

// The stores come from other processes, at any time; equal copies and the checksum tell whether
// what was loaded is whole. A volatile load of an aligned word is one load. When the application is
// in this process, as in tests, its stores are SQLite's plain ones: no race that could be mended
// here.
[[clang::no_sanitize("thread")]] std::uint32_t LoadWord(const volatile std::byte* from) {
  return *reinterpret_cast<const volatile std::uint32_t*>(from);
}

void LoadWords(const volatile std::byte* from, MutableBytes to) {
  for (std::size_t at = 0; at < to.size(); at += 4) {
    const std::uint32_t value = LoadWord(from + at);
    std::memcpy(to.data() + at, &value, sizeof(value));
  }
}

Result<const volatile std::byte*> MapFirstRegion(Connection& connection) {
  sqlite3_file* file = connection.wal_index_file();
  volatile void* region = nullptr;
  constexpr int kDoNotExtend = 0;
  const int rc = file->pMethods->xShmMap(file, 0, kWalIndexRegionSize, kDoNotExtend, &region);
  if (rc != SQLITE_OK) {
    return Fail(MakeError(rc, 0, connection.path().native(), "map the wal-index"));
  }
  if (region == nullptr) {
    return Fail(Errc::kBusy, connection.path().native() + ": the wal-index is not there yet");
  }
  return static_cast<const volatile std::byte*>(region);
}

// The writer stores copy 1, then copy 0; the other way round, equal copies are one header. SQLite's
// own barrier takes a mutex of the whole process beside the fence, which has no part in this.
bool TryLoadHeader(const volatile std::byte* region, WalIndexBytes& header) {
  WalIndexBytes second;
  LoadWords(region, header);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  LoadWords(region + kWalIndexHeaderSize, second);
  return header == second && header[kIsInitOffset] != std::byte{0} && HasValidChecksum(header);
}

int TryLockByte(sqlite3_file* file, int byte) {
  return file->pMethods->xShmLock(file, byte, 1, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE);
}

Result<void> LockByte(Connection& connection, int byte) {
  RUNNEL_CHECK(!connection.in_transaction());
  const int rc = TryLockByte(connection.wal_index_file(), byte);
  if (rc != SQLITE_OK) return Fail(MakeError(rc, 0, connection.path().native(), "lock"));
  return {};
}

// Unlocking does not fail on a local file. If it ever did, writers would be shut out for good, and
// the end of this process is what frees them.
void UnlockByte(sqlite3_file* file, int byte) {
  const int rc = file->pMethods->xShmLock(file, byte, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
  RUNNEL_CHECK(rc == SQLITE_OK);
}

Result<LockState> ProbeByte(Connection& connection, int byte) {
  auto locked = LockByte(connection, byte);
  if (locked) {
    UnlockByte(connection.wal_index_file(), byte);
    return LockState::kFree;
  }
  if (locked.error().code() == Errc::kBusy) return LockState::kHeld;
  return Fail(std::move(locked).error());
}

}  // namespace

Result<LiveWalIndex> ReadLiveWalIndex(Connection& connection) {
  RUNNEL_TRY(const volatile std::byte* region, MapFirstRegion(connection));
  LiveWalIndex live;
  int tries = 1;
  while (!TryLoadHeader(region, live.header)) {
    if (tries++ == kMaxTries) {
      return Fail(Errc::kBusy,
                  connection.path().native() + ": a writer is publishing a commit, or died there");
    }
  }
  if (GetInt<std::uint32_t>(live.header, kVersionOffset, kHostOrder) != kWalIndexVersion) {
    return Fail(Errc::kUnsupported, connection.path().native() + ": unknown wal-index version");
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  live.backfilled = LoadWord(region + kBackfilledOffset);
  live.backfill_attempted = LoadWord(region + kBackfillAttemptedOffset);
  for (std::size_t slot = 0; slot < live.read_marks.size(); ++slot) {
    live.read_marks[slot] = LoadWord(region + kReadMarksOffset + 4 * slot);
  }
  return live;
}

Result<WriteLock> WriteLock::Take(Connection& connection) {
  RUNNEL_TRY_VOID(LockByte(connection, kWriteLockByte));
  return WriteLock(connection.wal_index_file());
}

Result<std::optional<WriteLock>> WriteLock::TakeBetweenCommits(Connection& connection, int tries) {
  RUNNEL_CHECK(!connection.in_transaction());
  sqlite3_file* file = connection.wal_index_file();
  for (int i = 0; i < tries; ++i) {
    const int rc = TryLockByte(file, kWriteLockByte);
    if (rc == SQLITE_OK) return WriteLock(file);
    if (rc != SQLITE_BUSY) return Fail(MakeError(rc, 0, connection.path().native(), "lock"));
  }
  return std::nullopt;
}

WriteLock::~WriteLock() {
  if (file_ != nullptr) UnlockByte(file_, kWriteLockByte);
}

Result<LockState> ProbeWriteLock(Connection& connection) {
  return ProbeByte(connection, kWriteLockByte);
}

Result<LockState> ProbeCheckpointLock(Connection& connection) {
  return ProbeByte(connection, kCheckpointLockByte);
}

}  // namespace runnel::sqlite
