#include "testing/manual_directory_watcher.h"

#include <algorithm>
#include <utility>

namespace runnel::testing {

Result<fs::WatchId> ManualDirectoryWatcher::Add(const fs::Path& directory) {
  const std::lock_guard lock(mutex_);
  if (const auto failure = failures_.find(directory); failure != failures_.end()) {
    return Fail(failure->second, "watch " + directory.native() + ": as the test wants it");
  }
  Watch& watch = watches_[directory];
  if (watch.use_count++ == 0) watch.id = fs::WatchId{++last_id_};
  return watch.id;
}

void ManualDirectoryWatcher::Remove(fs::WatchId watch) {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::ranges::find(watches_, watch, [](const auto& entry) { return entry.second.id; });
  if (found == watches_.end() || --found->second.use_count > 0) return;
  watches_.erase(found);
  std::erase_if(events_, [&](const fs::WatchEvent& event) { return event.watch == watch; });
}

void ManualDirectoryWatcher::PauseModified(fs::WatchId watch) { SetPaused(watch, true); }

void ManualDirectoryWatcher::ResumeModified(fs::WatchId watch) { SetPaused(watch, false); }

void ManualDirectoryWatcher::SetPaused(fs::WatchId watch, bool paused) {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::ranges::find(watches_, watch, [](const auto& entry) { return entry.second.id; });
  if (found != watches_.end()) found->second.paused = paused;
}

Result<std::vector<fs::WatchEvent>> ManualDirectoryWatcher::Wait(
    std::optional<std::chrono::milliseconds> timeout) {
  std::unique_lock lock(mutex_);
  if (!timeout) changed_.wait(lock, [this] { return interrupted_ || !events_.empty(); });
  interrupted_ = false;
  return std::exchange(events_, {});
}

void ManualDirectoryWatcher::Interrupt() {
  const std::lock_guard lock(mutex_);
  interrupted_ = true;
  changed_.notify_all();
}

void ManualDirectoryWatcher::Post(const fs::Path& directory, fs::WatchEventKind kind,
                                  const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto watch = watches_.find(directory);
  if (watch == watches_.end()) return;
  if (watch->second.paused && kind == fs::WatchEventKind::kModified) return;
  events_.push_back({.watch = watch->second.id, .kind = kind, .name = name});
  if (kind == fs::WatchEventKind::kGone) watches_.erase(watch);
  changed_.notify_all();
}

void ManualDirectoryWatcher::PostOverflow() {
  const std::lock_guard lock(mutex_);
  events_.push_back({.watch = {}, .kind = fs::WatchEventKind::kOverflow, .name = {}});
  changed_.notify_all();
}

void ManualDirectoryWatcher::FailAdd(const fs::Path& directory, std::optional<Errc> code) {
  const std::lock_guard lock(mutex_);
  failures_.erase(directory);
  if (code) failures_.emplace(directory, *code);
}

bool ManualDirectoryWatcher::IsWatched(const fs::Path& directory) const {
  const std::lock_guard lock(mutex_);
  return watches_.contains(directory);
}

}  // namespace runnel::testing
