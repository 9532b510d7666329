// Tells when something happened in a directory, so that nothing has to poll.
//
//   (1) Every change is told, at the earliest when it was begun: a modification may be told before
//       its bytes can be read. Look again after a while.
//   (2) Changes of the same kind to the same name, one right after the other, may be told once.
//   (3) kOverflow stands for any number of lost events of any directory: look everywhere.
//   (4) A change made through a memory map, or by another machine, is not told.
//   (5) A directory that is gone (removed, moved away, unmounted) is told once, as kGone; its id
//       means nothing from then on.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "fs/file_system.h"

namespace runnel::fs {

enum class WatchId : std::uint64_t {};

enum class WatchEventKind : std::uint8_t {
  kCreated,
  kModified,   // content or size
  kAttribute,  // times, mode, owner, number of links
  kDeleted,
  kMovedIn,   // from another name or directory
  kMovedOut,  // to another name or directory
  kGone,      // the directory itself; no name
  kOverflow,  // no id, no name
};

std::string_view WatchEventKindName(WatchEventKind kind);

struct WatchEvent {
  WatchId watch{};
  WatchEventKind kind{};
  std::string name;  // of the entry in the directory

  friend bool operator==(const WatchEvent&, const WatchEvent&) = default;
};

// All methods may be called from any thread, Wait() by one at a time.
class DirectoryWatcher {
 public:
  virtual ~DirectoryWatcher() = default;

  // Events come from here on. A directory that is watched already, under whatever path, keeps its
  // id and is watched until it was removed as often as it was added. kNotFound; kUnavailable if
  // the system allows no more watches.
  virtual Result<WatchId> Add(const Path& directory) = 0;

  // No event with this id is returned by a Wait() that starts afterwards. One that is gone already
  // is no error.
  virtual void Remove(WatchId watch) = 0;

  // Between the two, kModified is not told of this directory: where files are written without
  // pause, telling costs their writers more than it is worth. Look once ResumeModified() has
  // returned: what was written before it is told by nobody. A directory that cannot be found again
  // under its path then is gone, and told as such.
  virtual void PauseModified(WatchId watch) = 0;
  virtual void ResumeModified(WatchId watch) = 0;

  // Blocks until there are events, `timeout` has passed (nothing: any time) or Interrupt() was
  // called since the last return; then what there is, in order, maybe nothing.
  virtual Result<std::vector<WatchEvent>> Wait(
      std::optional<std::chrono::milliseconds> timeout) = 0;

  // Ends the Wait() that is going on, or else the next one.
  virtual void Interrupt() = 0;
};

}  // namespace runnel::fs
