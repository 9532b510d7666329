// A daemon that captures one database and nothing else: threads, the machine's clock, inotify.
//
// Runs until SIGTERM, which is a clean stop, or SIGKILL. With --settle it ends by itself once all
// that is committed is cut. Exit status: 0 done, 1 an error (on standard error).

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <thread>

#include "capture/database.h"
#include "fs/file_operations.h"
#include "fs/inotify_watcher.h"
#include "fs/posix_file_system.h"
#include "runtime/system_clock.h"
#include "runtime/text_logger.h"
#include "runtime/thread_scheduler.h"

namespace runnel::tests {
namespace {

using std::chrono::milliseconds;

std::atomic<bool> stop_requested = false;

struct Options {
  capture::DatabaseOptions database;
  std::uint64_t release = 0;
  bool settle = false;
};

Options ParseOptions(int argc, char** argv, CLI::App& app) {
  Options options;
  std::string database;
  std::string state;
  int sync_interval_ms = 1000;
  app.add_option("database", database)->required();
  app.add_option("state", state, "State folder")->required();
  app.add_option("--sync-interval", sync_interval_ms, "Milliseconds");
  app.add_option("--threshold", options.database.checkpoint.threshold_frames, "Frames");
  app.add_option("--buffer", options.database.segment.buffer_bytes, "Of the open segment");
  app.add_option("--table", options.database.segment.table_entries, "Of the open segment");
  app.add_option("--release", options.release, "A replica has the cuts up to this one");
  app.add_flag("--settle", options.settle, "End once everything is cut");
  app.parse(argc, argv);
  options.database.database = database;
  options.database.state_folder = state;
  options.database.sync_interval = milliseconds(sync_interval_ms);
  return options;
}

class Observer final : public capture::DatabaseObserver {
 public:
  void OnCut(Txid newest) override { newest_ = ToInt(newest); }
  void OnStatus() override {}
  std::uint64_t newest() const { return newest_; }

 private:
  std::atomic<std::uint64_t> newest_ = 0;
};

void Deliver(const fs::WatchEvent& event, const std::string& name, capture::Database& database) {
  using enum fs::WatchEventKind;
  if (event.kind == kOverflow) {
    database.NotifyMoved();
    database.NotifyWritten();
    return;
  }
  if (event.name != name && event.name != name + "-wal" && event.name != name + "-shm") return;
  const bool moved = event.kind == kCreated || event.kind == kDeleted || event.kind == kMovedIn ||
                     event.kind == kMovedOut;
  if (moved) database.NotifyMoved();
  if (event.kind == kModified || event.kind == kCreated) database.NotifyWritten();
}

// Everything that is committed now, in cuts.
Result<bool> IsSettled(capture::Database& database, const Observer& observer) {
  auto wanted = database.RequestCut();
  if (!wanted) return false;
  return database.status().newest == *wanted || observer.newest() == ToInt(*wanted);
}

Result<void> Run(const Options& options) {
  runtime::SystemClock clock;
  runtime::TextLogger log(clock, STDERR_FILENO, runtime::LogFormat::kText, LogLevel::kInfo);
  fs::PosixFileSystem files;
  sqlite::OpenRegistry registry(files);
  RUNNEL_TRY(auto watcher, fs::InotifyWatcher::Make());
  RUNNEL_TRY(const fs::WatchId watch, watcher->Add(fs::ParentDirectory(options.database.database)));
  (void)watch;
  RUNNEL_TRY(auto scheduler,
             runtime::ThreadScheduler::Start(clock, {.capture = 2, .transfer = 2, .bulk = 1}));
  Observer observer;
  capture::Database database(
      options.database,
      {.fs = files, .registry = registry, .clock = clock, .log = log, .scheduler = *scheduler},
      observer);
  RUNNEL_TRY_VOID(database.Start());
  RUNNEL_TRY_VOID(database.AdoptHistory(Txid{0}));
  if (options.release > 0) database.ReleaseCuts(Txid{options.release});
  const std::string name = options.database.database.path().filename().native();
  const MonotonicTime give_up = clock.MonotonicNow() + std::chrono::seconds(60);
  while (!stop_requested) {
    RUNNEL_TRY(const auto events, watcher->Wait(milliseconds(options.settle ? 5 : 100)));
    for (const fs::WatchEvent& event : events) Deliver(event, name, database);
    if (!options.settle) continue;
    RUNNEL_TRY(const bool settled, IsSettled(database, observer));
    if (settled) break;
    if (clock.MonotonicNow() > give_up) {
      (void)database.Stop();
      return Fail(Errc::kTimedOut, "it does not settle");
    }
  }
  return database.Stop();
}

}  // namespace
}  // namespace runnel::tests

int main(int argc, char** argv) {
  CLI::App app;
  std::signal(SIGTERM, [](int) { runnel::tests::stop_requested = true; });
  try {
    const auto options = runnel::tests::ParseOptions(argc, argv, app);
    if (auto run = runnel::tests::Run(options); !run) {
      std::fprintf(stderr, "capture_daemon: %s\n", run.error().message().c_str());
      return 1;
    }
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
}
