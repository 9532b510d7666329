// What it costs to watch many directories.

#include <benchmark/benchmark.h>
#include <sys/stat.h>

#include <fstream>
#include <vector>

#include "fs/inotify_watcher.h"
#include "testing/temp_dir.h"

namespace runnel::fs {
namespace {

std::vector<Path> MakeDirectories(const Path& root, std::size_t count) {
  std::vector<Path> directories;
  for (std::size_t i = 0; i < count; ++i) {
    directories.push_back(root / std::to_string(i));
    ::mkdir(directories.back().c_str(), 0700);
  }
  return directories;
}

void BM_WatchDirectories(benchmark::State& state) {
  const testing::TempDir dir;
  const auto directories = MakeDirectories(dir.path(), static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    auto watcher = InotifyWatcher::Make();
    for (const Path& directory : directories) {
      if (!watcher || !(*watcher)->Add(directory)) state.SkipWithError("watch");
    }
  }
  state.SetItemsProcessed(state.range(0) * state.iterations());
}
BENCHMARK(BM_WatchDirectories)->Arg(100)->Arg(10'000)->UseRealTime();

// From a write to the event in hand, with that many directories watched.
void BM_EventAmongMany(benchmark::State& state) {
  const testing::TempDir dir;
  const auto directories = MakeDirectories(dir.path(), static_cast<std::size_t>(state.range(0)));
  auto watcher = InotifyWatcher::Make();
  for (const Path& directory : directories) {
    if (!watcher || !(*watcher)->Add(directory)) state.SkipWithError("watch");
  }
  std::ofstream file(directories.back() / "f");
  if (!(*watcher)->Wait(std::chrono::milliseconds(0))) state.SkipWithError("wait");
  for (auto _ : state) {
    file.put('x').flush();
    auto events = (*watcher)->Wait(std::nullopt);
    if (!events || events->size() != 1) state.SkipWithError("wait");
  }
}
BENCHMARK(BM_EventAmongMany)->Arg(1)->Arg(10'000);

}  // namespace
}  // namespace runnel::fs
