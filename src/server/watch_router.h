// Brings what happens in directories to the databases that lie in them.
//
// A database is watched through its directory: one watch serves all databases of a folder, and a
// database that does not exist yet is seen when it appears. One thread waits for events.

#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/result.h"
#include "fs/directory_watch.h"
#include "fs/file_system.h"

namespace runnel::server {

// What a database is told. Called on the router's thread; must return soon.
struct WatchTarget {
  std::function<void()> written;  // its file or its WAL
  std::function<void()> moved;    // one of its files was made, removed or renamed
};

class WatchRouter {
 public:
  // `watcher` and `log` outlive the router.
  WatchRouter(fs::DirectoryWatcher& watcher, Clock& clock, Logger& log);
  ~WatchRouter();  // no database is watched any more
  WatchRouter(const WatchRouter&) = delete;
  WatchRouter& operator=(const WatchRouter&) = delete;

  // `database` is the file's real path, without symbolic links. A directory that does not exist is
  // looked for again from time to time.
  void Add(const fs::Path& database, WatchTarget target);

  // Nothing is told about `database` when this returns.
  void Remove(const fs::Path& database);

  // `changed` is called when a file in `directory` appears, goes, or, if it belongs to no database
  // of Add(), is written to; not for the files that SQLite puts beside a database.
  void Follow(const fs::Path& directory, std::function<void()> changed);
  void Unfollow(const fs::Path& directory);

 private:
  struct Directory {
    std::optional<fs::WatchId> watch;
    std::unordered_map<std::string, WatchTarget> databases;  // by file name
    std::function<void()> changed;                           // empty: not followed
    // While files are written without pause.
    MonotonicTime modified_at{};
    std::uint64_t modified_in_round = 0;
    int busy_rounds = 0;
    std::optional<MonotonicTime> paused_until;  // then it is among paused_
  };
  using Directories = std::map<fs::Path, Directory>;

  void Run();
  void Dispatch(const fs::WatchEvent& event) RUNNEL_REQUIRES(mutex_);
  Directory& DirectoryAt(const fs::Path& path) RUNNEL_REQUIRES(mutex_);
  void DropIfUnused(Directories::iterator at) RUNNEL_REQUIRES(mutex_);
  void WatchDirectory(const fs::Path& path, Directory& directory) RUNNEL_REQUIRES(mutex_);
  void RetryMissing() RUNNEL_REQUIRES(mutex_);
  void NoteModified(Directory& directory);
  void ResumePaused();
  void Unpause(Directory& directory);
  void TellAll(Directory& directory) RUNNEL_REQUIRES(mutex_);

  fs::DirectoryWatcher& watcher_;
  Clock& clock_;
  Logger& log_;

  Mutex mutex_;  // held while a target is told
  Directories directories_ RUNNEL_GUARDED_BY(mutex_);
  std::unordered_map<std::uint64_t, fs::Path> by_watch_ RUNNEL_GUARDED_BY(mutex_);
  std::size_t missing_ RUNNEL_GUARDED_BY(mutex_) = 0;  // directories without a watch
  std::vector<Directory*> paused_;
  std::uint64_t round_ = 0;
  bool stopping_ RUNNEL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

}  // namespace runnel::server
