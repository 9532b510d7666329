// Keeps the databases of a directory while they are there: those that appear are added to the
// daemon, those that are removed are stopped once their replicas have all that was cut of them.

#pragma once

#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "fs/file_system.h"
#include "runtime/rate_limited_log.h"
#include "runtime/scheduler.h"
#include "server/managed_database.h"
#include "server/watch_router.h"
#include "sqlite/open_registry.h"

namespace runnel::server {

class Daemon;

struct FoundDatabase {
  fs::Path path;
  std::function<Result<DatabaseSpec>()> make;  // may cost something: only for one that is added
};

// What a directory holds at one moment.
struct DirectoryContent {
  std::vector<fs::Path> folders;  // in which databases may appear, the directory itself first
  std::vector<FoundDatabase> databases;
};

// Looks, through the registry of the daemon: databases may be open.
using DirectoryLook = std::function<Result<DirectoryContent>(sqlite::OpenRegistry&)>;

struct FollowedDirectory {
  std::string path;  // for logs
  DirectoryLook look;
};

// A job of the bulk pool. Looks when it is told of a change, at most once a second; waits for
// nothing else, but for what could not be done.
class DirectoryFollower final : public runtime::Job {
 public:
  // All of it outlives the follower. `turn` is held by the one follower that is at work on the
  // daemon, which nobody else changes meanwhile.
  DirectoryFollower(FollowedDirectory directory, Daemon& daemon, std::mutex& turn,
                    WatchRouter& router, const Shared& shared);
  ~DirectoryFollower() override;

  void Start();
  void Stop();

  std::optional<MonotonicTime> Run() override;

 private:
  enum class Outcome : std::uint8_t { kDone, kAgainAtOnce, kAgainLater };

  Result<Outcome> Step();
  Result<void> Add(const FoundDatabase& found);
  Outcome WatchFolders(const std::vector<fs::Path>& folders);
  Outcome AddNew(const std::vector<FoundDatabase>& databases, std::set<fs::Path>& present);
  Outcome RemoveGone(const std::set<fs::Path>& present);

  const FollowedDirectory directory_;
  Daemon& daemon_;
  std::mutex& turn_;
  WatchRouter& router_;
  const Shared& shared_;
  runtime::RateLimitedLog errors_;
  std::set<fs::Path> folders_;  // that are watched
  std::set<fs::Path> kept_;     // databases of this directory, by their real paths
  std::set<fs::Path> refused_;  // told of already
  bool is_first_look_ = true;
  MonotonicTime next_look_{};
  runtime::JobHandle handle_;
};

}  // namespace runnel::server
