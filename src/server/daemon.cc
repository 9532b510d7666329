#include "server/daemon.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "fs/file_operations.h"
#include "fs/file_system_kind.h"
#include "fs/system_paths.h"
#include "runtime/process_limits.h"
#include "sqlite/environment_check.h"
#include "sqlite/wal_index.h"

namespace runnel::server {
namespace {

std::string HostName() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return name.data();
}

constexpr std::chrono::minutes kMemoryReturnFirst{1};
constexpr std::chrono::minutes kMemoryReturnEvery{10};

// Changes at each boot: tells a daemon that was killed from one that runs on.
std::string BootId(fs::FileSystem& fs) {
  auto id = fs::ReadFile(fs, "/proc/sys/kernel/random/boot_id", 128);
  if (!id) return "unknown";
  std::string text(AsText(*id));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

Daemon::Daemon(DaemonOptions options, const World& world)
    : options_(std::move(options)),
      world_(world),
      registry_(world.fs),
      shared_{.fs = world.fs,
              .registry = registry_,
              .clock = world.clock,
              .random = world.random,
              .log = world.log,
              .scheduler = world.scheduler,
              .host = HostName(),
              .boot_id = BootId(world.fs)},
      router_(std::make_unique<WatchRouter>(world.watcher, world.clock, world.log)),
      memory_return_(world.clock) {}

Daemon::~Daemon() {
  StopFollowing();
  for (const auto& database : databases_) router_->Remove(database->path());
}

Result<void> Daemon::SelfTest() {
  RUNNEL_TRY_VOID(sqlite::CheckSqliteBuild());
  return sqlite::SelfTestWalIndexLayout(world_.fs, fs::TemporaryDirectory());
}

// Where locks or shared memory do not work, nothing fails: commits are lost in silence.
Result<void> Daemon::CheckPlace(const fs::Path& database) {
  const fs::Path folder = database.parent_path();
  if (std::ranges::find(checked_folders_, folder) != checked_folders_.end()) return {};
  auto kind = fs::FindFileSystemKind(folder);
  if (!kind) {
    // Made later: then it is too late to refuse, but capture reports what it meets.
    if (kind.error().code() == Errc::kNotFound) return {};
    return Fail(std::move(kind).error());
  }
  const bool allowed = kind->file_system_class == fs::FileSystemClass::kLocal ||
                       std::ranges::find(options_.allowed_file_systems, kind->name) !=
                           options_.allowed_file_systems.end();
  if (!allowed) {
    return Fail(Errc::kUnsupported,
                fmt::format("{} lies on a file system of kind {}, where SQLite's shared memory is "
                            "not shared with other machines and changes are not told: commits "
                            "would be lost in silence. Move it to a local disk, or allow it with "
                            "allow-filesystem: [{}] if only this machine writes to it",
                            database.string(), kind->name, kind->name));
  }
  RUNNEL_TRY_VOID(sqlite::CheckLocksAndSharedMemory(folder));
  checked_folders_.push_back(folder);
  return {};
}

Result<void> Daemon::Add(DatabaseSpec spec) {
  // SQLite puts the WAL beside the real file; that is the folder to watch.
  RUNNEL_TRY(spec.capture.database, fs::RealPath(spec.capture.database));
  const fs::Path path = spec.capture.database;
  const bool known = std::ranges::any_of(
      databases_, [&](const auto& database) { return database->path() == path; });
  if (known) {
    return Fail(Errc::kAlreadyExists, fmt::format("{} is configured twice", path.string()));
  }
  if (databases_.size() >= options_.databases_max) {
    return Fail(Errc::kUnavailable,
                fmt::format("{}: the limit of open files allows {} databases (ulimit -n)",
                            path.string(), options_.databases_max));
  }
  RUNNEL_TRY_VOID(CheckPlace(path));
  auto database = std::make_unique<ManagedDatabase>(std::move(spec), shared_);
  RUNNEL_TRY_VOID(database->Start());
  capture::Database& target = database->database();
  router_->Add(path, {.written = [&target] { target.NotifyWritten(); },
                      .moved = [&target] { target.NotifyMoved(); }});
  databases_.push_back(std::move(database));
  if (!memory_return_job_) {
    memory_return_job_ = world_.scheduler.Add(memory_return_, runtime::Pool::kBulk);
  }
  memory_return_job_.WakeAt(world_.clock.MonotonicNow() + kMemoryReturnFirst);
  return {};
}

Result<void> Daemon::Remove(const fs::Path& path) {
  const auto at = std::ranges::find_if(
      databases_, [&](const auto& database) { return database->path() == path; });
  if (at == databases_.end()) return {};
  if (!(*at)->IsEverywhere()) return Fail(Errc::kBusy, "its replicas lack some of it");
  router_->Remove(path);
  auto stopped = (*at)->Stop();
  databases_.erase(at);
  return stopped;
}

void Daemon::Follow(FollowedDirectory directory) {
  followers_.push_back(std::make_unique<DirectoryFollower>(std::move(directory), *this,
                                                           follower_turn_, *router_, shared_));
  followers_.back()->Start();
}

void Daemon::StopFollowing() { followers_.clear(); }

std::optional<MonotonicTime> Daemon::MemoryReturn::Run() {
  runtime::ReturnFreeMemory();
  return clock_.MonotonicNow() + kMemoryReturnEvery;
}

Result<void> Daemon::SyncAll() {
  for (const auto& database : databases_) database->BeginFinalSync();
  Result<void> outcome;
  for (const auto& database : databases_) {
    auto synced = database->AwaitFinalSyncWhileWell(options_.final_sync_timeout);
    if (!synced && outcome) outcome = std::move(synced);
  }
  return outcome;
}

Result<void> Daemon::FinalSync() {
  const MonotonicTime deadline = world_.clock.MonotonicNow() + options_.final_sync_timeout;
  const bool one_try = options_.final_sync_timeout == std::chrono::milliseconds(0);
  for (const auto& database : databases_) database->BeginFinalSync();
  Result<void> outcome;
  for (const auto& database : databases_) {
    auto synced = one_try ? database->AwaitFinalSyncWhileWell(std::chrono::milliseconds(0))
                          : database->AwaitFinalSync(deadline);
    const bool nothing_there = !synced && synced.error().code() == Errc::kNotFound;
    if (!synced && !nothing_there && outcome) outcome = std::move(synced);
  }
  return outcome;
}

Result<void> Daemon::Stop() {
  StopFollowing();
  Result<void> outcome = FinalSync();
  Result<void> stopped = Abandon();
  return outcome ? stopped : outcome;
}

Result<void> Daemon::Abandon() {
  StopFollowing();
  Result<void> outcome;
  for (const auto& database : databases_) {
    router_->Remove(database->path());
    auto stopped = database->Stop();
    if (!stopped && outcome) outcome = std::move(stopped);
  }
  databases_.clear();
  memory_return_job_ = {};
  return outcome;
}

}  // namespace runnel::server
