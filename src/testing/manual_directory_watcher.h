// A DirectoryWatcher whose events the test makes.

#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "fs/directory_watch.h"

namespace runnel::testing {

// Thread-safe. Directories are told apart by their paths, which need not exist.
class ManualDirectoryWatcher final : public fs::DirectoryWatcher {
 public:
  Result<fs::WatchId> Add(const fs::Path& directory) override;
  void Remove(fs::WatchId watch) override;
  void PauseModified(fs::WatchId watch) override;
  void ResumeModified(fs::WatchId watch) override;
  // A timeout is not waited for: with one, returns at once.
  Result<std::vector<fs::WatchEvent>> Wait(
      std::optional<std::chrono::milliseconds> timeout) override;
  void Interrupt() override;

  // Tells of a change; nobody hears of it if nobody watches `directory`. kGone ends the watch.
  void Post(const fs::Path& directory, fs::WatchEventKind kind, const std::string& name = "");

  // Tells that events were lost.
  void PostOverflow();

  // From now on Add() fails for this directory; nothing: works again.
  void FailAdd(const fs::Path& directory, std::optional<Errc> code);

  bool IsWatched(const fs::Path& directory) const;

 private:
  struct Watch {
    fs::WatchId id{};
    std::size_t use_count = 0;
    bool paused = false;
  };

  void SetPaused(fs::WatchId watch, bool paused);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // The rest: under mutex_.
  std::uint64_t last_id_ = 0;
  std::map<fs::Path, Watch> watches_;
  std::map<fs::Path, Errc> failures_;
  std::vector<fs::WatchEvent> events_;
  bool interrupted_ = false;
};

}  // namespace runnel::testing
