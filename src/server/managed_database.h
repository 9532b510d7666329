// One database of a daemon: its capture, its replicas, and the stores that they lie in.

#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "capture/database.h"
#include "fs/file_system.h"
#include "fs/stored_path.h"
#include "replicate/capture_source.h"
#include "replicate/replica_set.h"
#include "replicate/settings.h"
#include "store/object_store.h"

namespace runnel::server {

// A replica in a folder, or in a store that is opened already.
struct ReplicaSpec {
  replicate::DestinationSettings settings;
  fs::StoredPath folder = {};
  std::shared_ptr<store::ObjectStore> store = {};
  // Ends what the store waits for, when the work on the database ends. May be empty.
  std::function<void()> stop_store = {};
};

struct DatabaseSpec {
  capture::DatabaseOptions capture;
  std::vector<ReplicaSpec> replicas;
};

// What every database of a daemon shares. All of it outlives them.
struct Shared {
  fs::FileSystem& fs;
  sqlite::OpenRegistry& registry;
  Clock& clock;
  Random& random;
  Logger& log;
  runtime::Scheduler& scheduler;
  std::string host;
  std::string boot_id;
};

class ManagedDatabase final : private capture::DatabaseObserver {
 public:
  ManagedDatabase(DatabaseSpec spec, const Shared& shared);
  ~ManagedDatabase() override;

  Result<void> Start();

  // Cuts what is committed by now and hurries it to the replicas. Returns at once.
  void BeginFinalSync();
  // Waits for what BeginFinalSync() began; kTimedOut past `deadline`, or the error that kept it
  // from being cut.
  Result<void> AwaitFinalSync(MonotonicTime deadline);

  // The same without an end in time, while all goes well. Fails with what is wrong once something
  // has been wrong for `patience` on end, or cannot get better; kNotFound if there is no database.
  Result<void> AwaitFinalSyncWhileWell(std::chrono::milliseconds patience);

  // Cuts what is committed by now. Whether every required replica has all that was ever cut.
  bool IsEverywhere();

  // Ends all work on the database.
  Result<void> Stop();

  fs::Path path() const { return spec_.capture.database; }
  capture::Database& database() { return *database_; }
  replicate::ReplicaSet& replicas() { return *replicas_; }

 private:
  void StopReplicas();
  void OnCut(Txid newest) override;
  void OnStatus() override;
  void NoteChange();
  // Capture could not cut when it was asked, and its state has changed since.
  bool AskAgain() const RUNNEL_REQUIRES(mutex_) { return !final_txid_ && changes_ != asked_at_; }
  Error LateError() const RUNNEL_REQUIRES(mutex_);
  std::optional<Error> Trouble() const;

  const DatabaseSpec spec_;
  const Shared& shared_;
  std::unique_ptr<capture::Database> database_;
  std::unique_ptr<replicate::CaptureSource> source_;
  std::vector<std::shared_ptr<store::ObjectStore>> stores_;
  std::unique_ptr<replicate::ReplicaSet> replicas_;
  std::atomic<bool> started_ = false;  // replicas_ is there

  Mutex mutex_;
  CondVar synced_;
  Result<Txid> final_txid_ RUNNEL_GUARDED_BY(mutex_) = Txid{};
  bool final_is_durable_ RUNNEL_GUARDED_BY(mutex_) = false;
  std::uint64_t changes_ RUNNEL_GUARDED_BY(mutex_) = 0;  // of capture's state
  // changes_ before capture was last asked for the cut.
  std::uint64_t asked_at_ RUNNEL_GUARDED_BY(mutex_) = 0;
};

}  // namespace runnel::server
