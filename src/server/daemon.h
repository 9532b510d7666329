// The daemon: every database it keeps copies of, and what they share.

#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "fs/directory_watch.h"
#include "fs/file_system.h"
#include "runtime/scheduler.h"
#include "server/directory_follower.h"
#include "server/managed_database.h"
#include "server/watch_router.h"
#include "sqlite/open_registry.h"

namespace runnel::server {

struct DaemonOptions {
  // File systems, by name, that databases may lie on beside the local ones.
  std::vector<std::string> allowed_file_systems;
  // How long Stop() waits for the newest commits to reach the replicas; 0: until something is
  // wrong. SyncAll() waits for as long as nothing has been wrong for this long on end.
  std::chrono::milliseconds final_sync_timeout = std::chrono::seconds(30);
  // What the descriptors of the process are enough for.
  std::size_t databases_max = ~std::size_t{0};
};

// What a daemon is built on. All of it outlives the daemon.
struct World {
  fs::FileSystem& fs;
  fs::DirectoryWatcher& watcher;
  Clock& clock;
  Random& random;
  Logger& log;
  runtime::Scheduler& scheduler;
};

// Not thread-safe; its databases work on threads of the scheduler. From Follow() on, databases are
// added and removed by a job: until Stop() or Abandon() nothing else is called.
class Daemon {
 public:
  Daemon(DaemonOptions options, const World& world);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Proves that this build and this machine can be trusted with a database, before one is opened.
  Result<void> SelfTest();

  // kAlreadyExists if it is kept already; kUnsupported if it lies where it cannot be captured
  // safely; kUnavailable past databases_max.
  Result<void> Add(DatabaseSpec spec);

  // Ends all work on a database whose file is gone; `path` is its real path. kBusy while a replica
  // lacks what was cut of it.
  Result<void> Remove(const fs::Path& path);

  // Keeps the databases of a directory, as they come and go. Those that are there were added.
  void Follow(FollowedDirectory directory);

  // A last cut and upload of all, then ends all work. The first error, after all were tried. A
  // database that does not exist is none.
  Result<void> Stop();

  // Cuts and uploads what is committed by now, and waits for it; a first copy takes its time. The
  // first error, after all were tried; kNotFound for a database that does not exist.
  Result<void> SyncAll();

  // Ends all work without waiting for anything. What is not in the replicas stays staged.
  Result<void> Abandon();

 private:
  // What a start, or a burst of compaction, leaves of the heap lies between what stays, and would
  // be kept.
  class MemoryReturn final : public runtime::Job {
   public:
    explicit MemoryReturn(Clock& clock) : clock_(clock) {}
    std::optional<MonotonicTime> Run() override;

   private:
    Clock& clock_;
  };

  void StopFollowing();
  Result<void> CheckPlace(const fs::Path& database);
  Result<void> FinalSync();

  const DaemonOptions options_;
  const World world_;
  sqlite::OpenRegistry registry_;
  const Shared shared_;
  std::unique_ptr<WatchRouter> router_;
  std::vector<fs::Path> checked_folders_;
  std::vector<std::unique_ptr<ManagedDatabase>> databases_;
  std::mutex follower_turn_;
  std::vector<std::unique_ptr<DirectoryFollower>> followers_;
  MemoryReturn memory_return_;
  runtime::JobHandle memory_return_job_;  // while there are databases
};

}  // namespace runnel::server
