#include "server/directory_follower.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "fs/system_paths.h"
#include "server/daemon.h"

namespace runnel::server {
namespace {

constexpr std::chrono::seconds kBetweenLooks{1};
constexpr std::chrono::seconds kRetry{15};

}  // namespace

DirectoryFollower::DirectoryFollower(FollowedDirectory directory, Daemon& daemon, std::mutex& turn,
                                     WatchRouter& router, const Shared& shared)
    : directory_(std::move(directory)),
      daemon_(daemon),
      turn_(turn),
      router_(router),
      shared_(shared),
      errors_(shared.log, shared.clock) {}

DirectoryFollower::~DirectoryFollower() { Stop(); }

void DirectoryFollower::Start() {
  handle_ = shared_.scheduler.Add(*this, runtime::Pool::kBulk);
  handle_.Wake();
}

void DirectoryFollower::Stop() {
  handle_.Stop();
  for (const fs::Path& folder : folders_) router_.Unfollow(folder);
  folders_.clear();
}

std::optional<MonotonicTime> DirectoryFollower::Run() {
  const MonotonicTime now = shared_.clock.MonotonicNow();
  if (now < next_look_) return next_look_;
  next_look_ = now + kBetweenLooks;
  auto outcome = Step();
  if (!outcome) {
    errors_.Log(LogLevel::kWarn, "a directory of databases cannot be looked through", "path",
                directory_.path, outcome.error());
    return now + kRetry;
  }
  switch (*outcome) {
    case Outcome::kDone: return std::nullopt;
    case Outcome::kAgainAtOnce: return next_look_;
    case Outcome::kAgainLater: return now + kRetry;
  }
  std::unreachable();
}

Result<DirectoryFollower::Outcome> DirectoryFollower::Step() {
  const std::lock_guard lock(turn_);
  RUNNEL_TRY(const DirectoryContent content, directory_.look(shared_.registry));
  // What appeared in a folder between the look and the watch is found by the next look.
  Outcome outcome = WatchFolders(content.folders);
  std::set<fs::Path> present;
  outcome = std::max(outcome, AddNew(content.databases, present));
  outcome = std::max(outcome, RemoveGone(present));
  is_first_look_ = false;
  return outcome;
}

DirectoryFollower::Outcome DirectoryFollower::WatchFolders(const std::vector<fs::Path>& folders) {
  const std::set<fs::Path> wanted(folders.begin(), folders.end());
  Outcome outcome = Outcome::kDone;
  for (const fs::Path& folder : wanted) {
    if (!folders_.insert(folder).second) continue;
    router_.Follow(folder, [this] { handle_.Wake(); });
    outcome = Outcome::kAgainAtOnce;
  }
  for (auto at = folders_.begin(); at != folders_.end();) {
    if (wanted.contains(*at)) {
      ++at;
      continue;
    }
    router_.Unfollow(*at);
    at = folders_.erase(at);
  }
  return outcome;
}

Result<void> DirectoryFollower::Add(const FoundDatabase& found) {
  RUNNEL_TRY(DatabaseSpec spec, found.make());
  return daemon_.Add(std::move(spec));
}

DirectoryFollower::Outcome DirectoryFollower::AddNew(const std::vector<FoundDatabase>& databases,
                                                     std::set<fs::Path>& present) {
  Outcome outcome = Outcome::kDone;
  for (const FoundDatabase& found : databases) {
    auto path = fs::RealPath(found.path);
    if (!path) continue;  // gone again
    present.insert(*path);
    if (kept_.contains(*path)) continue;
    auto added = Add(found);
    // The daemon was started with those that were there.
    const bool is_known = is_first_look_ && !added && added.error().code() == Errc::kAlreadyExists;
    if (added || is_known) {
      kept_.insert(*path);
      refused_.erase(*path);
      if (added) shared_.log.Info("a database appeared", {{"path", path->string()}});
      continue;
    }
    outcome = Outcome::kAgainLater;
    if (!refused_.insert(*path).second) continue;
    shared_.log.Error("a database that appeared cannot be kept",
                      {{"path", path->string()}, {"error", added.error()}});
  }
  return outcome;
}

DirectoryFollower::Outcome DirectoryFollower::RemoveGone(const std::set<fs::Path>& present) {
  Outcome outcome = Outcome::kDone;
  std::erase_if(refused_, [&](const fs::Path& path) { return !present.contains(path); });
  for (auto at = kept_.begin(); at != kept_.end();) {
    if (present.contains(*at)) {
      ++at;
      continue;
    }
    auto removed = daemon_.Remove(*at);
    if (!removed && removed.error().code() == Errc::kBusy) {
      outcome = Outcome::kAgainLater;
      ++at;
      continue;
    }
    shared_.log.Info("a database was removed; what its replicas hold stays",
                     {{"path", at->string()}});
    if (!removed) shared_.log.Warn("it was not stopped cleanly", {{"error", removed.error()}});
    at = kept_.erase(at);
  }
  return outcome;
}

}  // namespace runnel::server
