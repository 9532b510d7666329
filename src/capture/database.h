// One live database under capture: from its WAL to cuts in the staged log.
//
//   (1) Every cut is a state that the database really had, one transaction boundary, in order. A
//       cut is made at most once a sync interval, and at once after a quiet one.
//   (2) Whatever happens to us, the application or the machine, the next cut brings the staged log
//       to the live database again: where continuity was lost, the pages that differ are found by
//       a scan and shipped. It is never guessed.
//   (3) The application never waits for us beyond a checkpoint's two fsyncs, and only past the
//       hard bound of the WAL.
//   (4) When anything goes wrong the read mark is given up, the error is reported, and capture
//       begins anew by itself, with back-off.
//
// How it works is in docs/capture.md. All methods are thread-safe.

#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/result.h"
#include "capture/checkpoint_policy.h"
#include "capture/scan.h"
#include "capture/segment.h"
#include "capture/staging.h"
#include "capture/state_paths.h"
#include "fs/file_system.h"
#include "fs/stored_path.h"
#include "ltx/format.h"
#include "runtime/scheduler.h"
#include "sqlite/open_registry.h"

namespace runnel::capture {

// What to do with a database that is not in WAL mode.
enum class JournalModePolicy : std::uint8_t {
  kSwitch,   // set WAL mode once, and log it
  kRequire,  // refuse it until somebody else has
};

// What a comparison that was asked for brings into the next cut.
enum class CompareExtent : std::uint8_t {
  kDifferingPages,  // the pages that are not what the newest cut left
  kEveryPage,       // all: nothing that a replica has under our txids may be relied on
};

struct DatabaseOptions {
  fs::StoredPath database;
  fs::StoredPath state_folder;
  std::chrono::milliseconds sync_interval = std::chrono::seconds(1);
  CheckpointLimits checkpoint;
  SegmentLimits segment;
  ltx::PageEncoding encoding = ltx::PageEncoding::kBlock;
  JournalModePolicy journal_mode = JournalModePolicy::kSwitch;
  // Above half of it what was released is removed without delay.
  std::uint64_t max_staging_bytes = std::uint64_t{1} << 30;
};

// What a database is built on. All of it outlives the database.
struct Environment {
  fs::FileSystem& fs;
  sqlite::OpenRegistry& registry;
  Clock& clock;
  Logger& log;
  runtime::Scheduler& scheduler;
};

enum class DatabaseState : std::uint8_t {
  kStopped,
  kWaiting,   // no database there, or it cannot be captured for now: see `error`
  kScanning,  // captured, and a scan makes good for what was missed; cuts wait for it
  kCapturing,
};

struct DatabaseStatus {
  DatabaseState state = DatabaseState::kStopped;
  std::optional<Error> error;  // of the last try, while waiting
  Txid newest{};               // cut, durable on the local disk
  WallTime newest_at;          // its timestamp
  std::uint32_t page_size = 0;
  std::uint32_t commit_pages = 0;
  std::uint64_t wal_bytes = 0;    // frames that the WAL holds
  std::uint64_t uncut_bytes = 0;  // captured, waiting for the next cut
  std::uint64_t staged_bytes = 0;
};

// Told from worker threads; may call the database. Must return soon.
class DatabaseObserver {
 public:
  virtual ~DatabaseObserver() = default;
  // A new cut is durable on the local disk.
  virtual void OnCut(Txid newest) = 0;
  // Status changed in another way (state, error, a scan that ended).
  virtual void OnStatus() = 0;
};

class LiveDatabase;

class Database {
 public:
  // `observer` outlives the database.
  Database(DatabaseOptions options, const Environment& environment, DatabaseObserver& observer);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Takes the state folder's lock (kBusy naming it if another daemon has it), reads what is there,
  // and starts capture. A database that does not exist yet is not an error.
  Result<void> Start();

  // Captures and cuts what is committed by now, then lets everything go. Returns the error that
  // kept the last commits from being cut, if one did.
  Result<void> Stop();

  // Something was written to the database or its WAL. Cheap; from any thread.
  void NotifyWritten();
  // The database, its WAL or its -shm was made, removed or renamed.
  void NotifyMoved();

  // The newest txid that a replica has, once known. Until the first call a database without local
  // history makes no cut. A replica that is ahead of the local history makes the next cut its
  // successor, with every page (Litestream's numbering goes on).
  Result<void> AdoptHistory(Txid replica_newest);

  // Captures what is committed by now and starts a cut of it. Returns the txid that will hold it:
  // the newest one, if there is nothing new. OnCut() tells when it is there.
  Result<Txid> RequestCut();

  // The database, or a replica, is not what the cuts say: compares the live database with the
  // newest cut by a scan, and cuts what differs. Returns at once; scans that are under way are not
  // current any more.
  void CompareAgain(CompareExtent extent);

  // Every replica has the cuts up to `last`: they may be removed here.
  void ReleaseCuts(Txid last);

  // Begins a scan of the whole database, whose pages and the cuts after scan->base() together make
  // a snapshot. kBusy while the database is not kCapturing.
  Result<std::unique_ptr<DatabaseScan>> BeginScan();

  // Nothing was lost since `scan` began, so its result counts.
  bool IsCurrent(const DatabaseScan& scan) const;

  Staging& staging();
  DatabaseStatus status() const;
  const DatabaseOptions& options() const { return options_; }

 private:
  const DatabaseOptions options_;
  std::unique_ptr<LiveDatabase> live_;
};

}  // namespace runnel::capture
