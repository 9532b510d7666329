// DirectoryWatcher on Linux inotify: two descriptors, whatever the number of directories.

#pragma once

#include <memory>
#include <mutex>
#include <unordered_map>

#include "fs/directory_watch.h"
#include "fs/unique_fd.h"

struct inotify_event;

namespace runnel::fs {

class InotifyWatcher final : public DirectoryWatcher {
 public:
  // kUnavailable if the user has too many inotify instances.
  static Result<std::unique_ptr<InotifyWatcher>> Make();

  Result<WatchId> Add(const Path& directory) override;
  void Remove(WatchId watch) override;
  void PauseModified(WatchId watch) override;
  void ResumeModified(WatchId watch) override;
  Result<std::vector<WatchEvent>> Wait(std::optional<std::chrono::milliseconds> timeout) override;
  void Interrupt() override;

 private:
  struct Watch {
    WatchId id{};
    std::size_t use_count = 0;
    Path path;
  };

  InotifyWatcher(UniqueFd inotify, UniqueFd interrupt)
      : inotify_(std::move(inotify)), interrupt_(std::move(interrupt)) {}

  void SetMask(WatchId watch, std::uint32_t mask);
  Result<void> ReadEvents(std::vector<WatchEvent>& events);
  void Translate(const inotify_event& event, std::vector<WatchEvent>& events);  // with mutex_
  void Forget(int descriptor);                                                  // with mutex_

  const UniqueFd inotify_;
  const UniqueFd interrupt_;

  std::mutex mutex_;
  // Under mutex_. The kernel's number of a watch is not used again soon but it is used again; an id
  // never is.
  std::uint64_t last_id_ = 0;
  std::unordered_map<int, Watch> watches_;          // by the kernel's number
  std::unordered_map<std::uint64_t, int> numbers_;  // by id
};

}  // namespace runnel::fs
