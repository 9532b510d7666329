#include "server/watch_router.h"

#include <utility>

namespace runnel::server {
namespace {

// How long until a directory that does not exist is looked for again.
constexpr std::chrono::milliseconds kRetryMissing{5000};

// While we wait in a read, every write of an application wakes us, at its expense. After one lot of
// events this much of the next is left to pile up in the kernel.
constexpr std::chrono::milliseconds kRest{1};

// A directory in which that many rounds brought a modification, none of them this much later than
// the one before, is written to without pause. To tell us of each write costs its writer half a
// microsecond, two of them a sixth of a small transaction, and the databases look by themselves at
// such times: for a while nothing is told. After it all have to look, so there must be few.
constexpr int kBusyRounds = 16;
constexpr std::chrono::milliseconds kBusyGap{5};
constexpr std::chrono::milliseconds kPause{20};
constexpr std::size_t kFewDatabases = 8;

constexpr std::string_view kWalSuffix = "-wal";
constexpr std::string_view kShmSuffix = "-shm";

enum class FileRole : std::uint8_t { kDatabase, kWal, kShm };

struct Named {
  std::string database;
  FileRole role;
};

// The database that a file name belongs to, if it is one of the three that SQLite makes.
Named Classify(const std::string& name) {
  const std::string_view view = name;
  if (view.ends_with(kWalSuffix)) {
    return {.database = name.substr(0, name.size() - kWalSuffix.size()), .role = FileRole::kWal};
  }
  if (view.ends_with(kShmSuffix)) {
    return {.database = name.substr(0, name.size() - kShmSuffix.size()), .role = FileRole::kShm};
  }
  return {.database = name, .role = FileRole::kDatabase};
}

void Tell(const WatchTarget& target, fs::WatchEventKind kind) {
  switch (kind) {
    case fs::WatchEventKind::kModified: target.written(); return;
    case fs::WatchEventKind::kAttribute: return;
    default:
      target.moved();
      target.written();
      return;
  }
}

}  // namespace

WatchRouter::WatchRouter(fs::DirectoryWatcher& watcher, Clock& clock, Logger& log)
    : watcher_(watcher), clock_(clock), log_(log), thread_([this] { Run(); }) {}

WatchRouter::~WatchRouter() {
  {
    const MutexLock lock(mutex_);
    RUNNEL_CHECK(directories_.empty());
    stopping_ = true;
  }
  watcher_.Interrupt();
  thread_.join();
}

void WatchRouter::Add(const fs::Path& database, WatchTarget target) {
  const MutexLock lock(mutex_);
  DirectoryAt(database.parent_path())
      .databases.insert_or_assign(database.filename().string(), std::move(target));
}

void WatchRouter::Follow(const fs::Path& directory, std::function<void()> changed) {
  const MutexLock lock(mutex_);
  DirectoryAt(directory).changed = std::move(changed);
}

WatchRouter::Directory& WatchRouter::DirectoryAt(const fs::Path& path) {
  auto [at, is_new] = directories_.try_emplace(path);
  if (is_new) {
    ++missing_;
    WatchDirectory(path, at->second);
    if (missing_ > 0) watcher_.Interrupt();  // the thread has to wait with a limit now
  }
  return at->second;
}

void WatchRouter::Remove(const fs::Path& database) {
  const MutexLock lock(mutex_);
  const auto at = directories_.find(database.parent_path());
  if (at == directories_.end()) return;
  at->second.databases.erase(database.filename().string());
  DropIfUnused(at);
}

void WatchRouter::Unfollow(const fs::Path& directory) {
  const MutexLock lock(mutex_);
  const auto at = directories_.find(directory);
  if (at == directories_.end()) return;
  at->second.changed = nullptr;
  DropIfUnused(at);
}

void WatchRouter::DropIfUnused(Directories::iterator at) {
  if (!at->second.databases.empty() || at->second.changed) return;
  Unpause(at->second);
  if (at->second.watch) {
    watcher_.Remove(*at->second.watch);
    by_watch_.erase(static_cast<std::uint64_t>(*at->second.watch));
  } else {
    --missing_;
  }
  directories_.erase(at);
}

void WatchRouter::WatchDirectory(const fs::Path& path, Directory& directory) {
  auto watch = watcher_.Add(path);
  if (!watch) {
    if (watch.error().code() != Errc::kNotFound) {
      log_.Warn("cannot watch a directory; changes are found by a slow sweep",
                {{"path", path.string()}, {"error", watch.error()}});
    }
    return;
  }
  directory.watch = *watch;
  by_watch_[static_cast<std::uint64_t>(*watch)] = path;
  --missing_;
}

void WatchRouter::Run() {
  for (;;) {
    std::optional<std::chrono::milliseconds> timeout;
    {
      const MutexLock lock(mutex_);
      if (stopping_) return;
      if (missing_ > 0) timeout = kRetryMissing;
      if (!paused_.empty()) timeout = kPause / 4;
      ++round_;
    }
    auto events = watcher_.Wait(timeout);
    if (!events) {
      log_.Error("cannot wait for changes of files; they are found by a slow sweep",
                 {{"error", events.error()}});
      return;
    }
    {
      const MutexLock lock(mutex_);
      for (const fs::WatchEvent& event : *events) Dispatch(event);
      if (missing_ > 0) RetryMissing();
      ResumePaused();
    }
    if (!events->empty()) clock_.Sleep(kRest);
  }
}

void WatchRouter::Dispatch(const fs::WatchEvent& event) {
  if (event.kind == fs::WatchEventKind::kOverflow) {
    for (auto& [path, directory] : directories_) TellAll(directory);
    return;
  }
  const auto named = by_watch_.find(static_cast<std::uint64_t>(event.watch));
  if (named == by_watch_.end()) return;
  const auto at = directories_.find(named->second);
  if (at == directories_.end()) return;
  if (event.kind == fs::WatchEventKind::kGone) {
    by_watch_.erase(named);
    at->second.watch.reset();
    Unpause(at->second);
    ++missing_;
    TellAll(at->second);
    return;
  }
  if (event.kind == fs::WatchEventKind::kModified) NoteModified(at->second);
  const Named file = Classify(event.name);
  const auto target = at->second.databases.find(file.database);
  if (target != at->second.databases.end()) {
    // The -shm changes through maps, which are not told; a write(2) to it means nothing.
    if (file.role == FileRole::kShm && event.kind == fs::WatchEventKind::kModified) return;
    Tell(target->second, event.kind);
  } else if (const auto whole = at->second.databases.find(event.name);
             whole != at->second.databases.end()) {
    Tell(whole->second, event.kind);  // a database whose own name ends in -wal or -shm
  }
  const bool is_known = target != at->second.databases.end();
  const bool is_told = event.kind != fs::WatchEventKind::kAttribute &&
                       !(is_known && event.kind == fs::WatchEventKind::kModified);
  if (at->second.changed && is_told && file.role == FileRole::kDatabase) at->second.changed();
}

void WatchRouter::RetryMissing() {
  for (auto& [path, directory] : directories_) {
    if (directory.watch) continue;
    WatchDirectory(path, directory);
    if (directory.watch) TellAll(directory);
  }
}

void WatchRouter::NoteModified(Directory& directory) {
  const MonotonicTime now = clock_.MonotonicNow();
  if (directory.paused_until || directory.modified_in_round == round_) return;
  directory.busy_rounds = now - directory.modified_at < kBusyGap ? directory.busy_rounds + 1 : 0;
  directory.modified_at = now;
  directory.modified_in_round = round_;
  if (directory.busy_rounds < kBusyRounds || directory.databases.size() > kFewDatabases) return;
  watcher_.PauseModified(*directory.watch);
  directory.paused_until = now + kPause;
  paused_.push_back(&directory);
}

void WatchRouter::ResumePaused() {
  const MonotonicTime now = clock_.MonotonicNow();
  for (Directory* directory : std::vector(paused_)) {
    if (now < *directory->paused_until) continue;
    watcher_.ResumeModified(*directory->watch);
    Unpause(*directory);
    directory->modified_at = now;
    for (auto& [name, target] : directory->databases) target.written();
    if (directory->changed) directory->changed();
  }
}

void WatchRouter::Unpause(Directory& directory) {
  directory.paused_until.reset();
  std::erase(paused_, &directory);
}

void WatchRouter::TellAll(Directory& directory) {
  for (auto& [name, target] : directory.databases) {
    target.moved();
    target.written();
  }
  if (directory.changed) directory.changed();
}

}  // namespace runnel::server
