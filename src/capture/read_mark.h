// The read transaction that keeps the WAL from restarting under us, and how it moves.
//
// The rule that capture rests on (docs/capture.md has the proof from SQLite's source):
//
//   The WAL restarts only while we sit in read slot 0, and slot 0 is left only after the CKPT lock
//   was seen free since the restart.
//
// It gives the invariant of every step: with H the header that we hold, either the live salts are
// H's and frames (H.frame, live.frame] are intact in the file, or they differ, we sit in slot 0,
// everything up to H.frame was captured, and frames [1, live.frame] of the one new generation that
// is not empty are intact.
//
// Two connections take turns holding; a third one checkpoints. While the database rests, only the
// holder is open.
//
// SQLite finds WAL and wal-index by name, each connection when it is opened. Where somebody deletes
// one that is in use, connections of one database follow different files: then one reads, and
// copies into the database, frames out of a file that does not hold them. So all connections here
// have the same two files open, and a checkpoint runs only while the names stand for them.

#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/result.h"
#include "capture/position.h"
#include "fs/file_system.h"
#include "fs/stored_path.h"
#include "sqlite/connection.h"
#include "sqlite/open_registry.h"
#include "sqlite/wal_index.h"

namespace runnel::capture {

// A header of the wal-index: the newest commit that it publishes.
struct WalState {
  WalPosition position;
  std::uint32_t commit_pages = 0;
  std::uint32_t page_size = 0;
  friend bool operator==(const WalState&, const WalState&) = default;
};

struct LiveWal {
  WalState state;
  FrameNo backfilled{};  // frames that a checkpoint has copied to the database file
};

enum class MoveResult : std::uint8_t {
  kMoved,
  kFenced,  // a checkpointer that may be older than the restart is still at work: try again soon
};

// One thread at a time.
class ReadMark {
 public:
  ReadMark(sqlite::OpenRegistry& registry, fs::Path database, Clock& clock);

  // Opens the database and takes the mark. Errors as of sqlite::Connection::Begin(); kUnavailable,
  // naming the file, while applications have a WAL or wal-index open that was deleted: nothing is
  // made in its place, and we are not in the way of the last of them, whose close sets things
  // right.
  Result<void> Acquire();

  // Nobody else had the database open at Acquire(). That is asked only where a file was missing.
  bool was_alone() const { return was_alone_; }

  // Closes every connection: the WAL is the application's alone.
  void Release();
  bool acquired() const { return holder_ != nullptr; }

  // What the held transaction sees. Only while acquired, as all below.
  const WalState& held() const { return held_; }

  // In slot 0, as far as can be known from outside: SQLite took it if it found the WAL completely
  // backfilled, unless a checkpoint had its hand on the slot at that instant. So it counts only
  // after two moves in a row.
  bool in_slot_zero() const { return slot_zero_moves_ >= 2; }

  // The newest commit. No system call.
  Result<LiveWal> Live();

  // Takes the newest mark and lets go of the old one. In between, with both held, calls `capture`
  // with what the new one sees; after a failure of it the old mark is still held.
  Result<MoveResult> Advance(const std::function<Result<void>(const WalState&)>& capture);

  // kUnavailable, naming the file, if the WAL or the wal-index was deleted or replaced since
  // Acquire(): applications that come now do not see our locks, nor we their commits.
  Result<void> CheckFiles() const;

  // A PASSIVE checkpoint on a connection of its own, after CheckFiles(). It copies frames up to the
  // held mark at most.
  Result<sqlite::CheckpointResult> Checkpoint();

  // Opens now what Checkpoint() would open on demand.
  Result<void> PrepareCheckpoint();

  // The idle connection that may carry SQLite's WRITE lock, opened on demand.
  Result<sqlite::Connection*> WriteLocker();

  // Closes all but the holder, and has that one give back what memory it can.
  void Rest();
  bool rests() const { return !spare_ && !checkpointer_ && !write_locker_; }

  sqlite::Connection& holder() { return *holder_; }
  const sqlite::Connection& holder() const { return *holder_; }

 private:
  Result<std::unique_ptr<sqlite::Connection>> OpenFirst();
  Result<sqlite::WalFiles> AwaitWalFiles(sqlite::Connection& connection);
  Result<std::unique_ptr<sqlite::Connection>> OpenBeside();
  Result<void> CheckSameFiles(const sqlite::WalFiles& files) const;
  Result<sqlite::Connection*> Checkpointer();
  Result<sqlite::Connection*> OpenOnDemand(std::unique_ptr<sqlite::Connection>& connection);
  Result<bool> PassesFence(const wal::Salts& salts);
  Result<bool> IsWaitingForUs(sqlite::Connection& connection);
  Result<WalState> StateOf(const sqlite::WalIndexBytes& header);

  sqlite::OpenRegistry& registry_;
  const fs::StoredPath database_;
  Clock& clock_;

  std::unique_ptr<sqlite::Connection> holder_;
  std::unique_ptr<sqlite::Connection> spare_;
  std::unique_ptr<sqlite::Connection> checkpointer_;
  std::unique_ptr<sqlite::Connection> write_locker_;
  WalState held_;
  bool was_alone_ = false;
  sqlite::WalIndexBytes held_header_{};  // what held_ was made of
  int slot_zero_moves_ = 0;              // in a row
  wal::Salts fenced_;                    // the generation that passed the fence last

  // The fence was closed at each look of an unbroken series, in which nobody committed.
  struct Blocked {
    MonotonicTime since;
    MonotonicTime last_look;
    WalPosition newest;
  };
  std::optional<Blocked> blocked_;
};

}  // namespace runnel::capture
