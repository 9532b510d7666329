// What a database costs while nothing happens to it, and what one look at it costs.

#include <benchmark/benchmark.h>
#include <malloc.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "sqlite/open_registry.h"
#include "sqlite/wal_index.h"
#include "testing/live_database.h"

namespace runnel::sqlite {
namespace {

using testing::App;

std::size_t AllocatedBytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// Anonymous memory of the process, by the kernel's account.
std::size_t AnonymousBytes() {
  std::ifstream rollup("/proc/self/smaps_rollup");
  for (std::string line; std::getline(rollup, line);) {
    if (line.starts_with("Anonymous:")) return std::stoul(line.substr(10)) * 1024;
  }
  return 0;
}

std::size_t Descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

// One connection each, resting in slot 0 of a backfilled WAL. `-shm` maps are not anonymous.
void BM_IdleDatabases(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  const testing::TempDir directory;
  std::vector<fs::Path> paths;
  for (std::size_t i = 0; i < count; ++i) {
    paths.push_back(directory.path() / (std::to_string(i) + ".db"));
    App app(paths.back());
    app.Run("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; CREATE TABLE t(x)");
  }
  fs::PosixFileSystem file_system;
  for (auto _ : state) {
    OpenRegistry registry(file_system);
    std::vector<std::unique_ptr<Connection>> connections;
    malloc_trim(0);
    const std::size_t allocated = AllocatedBytes();
    const std::size_t anonymous = AnonymousBytes();
    const std::size_t descriptors = Descriptors();
    for (const fs::Path& path : paths) {
      auto connection = registry.Open(path);
      RUNNEL_CHECK(connection && (*connection)->Begin());
      (*connection)->ReleaseMemory();
      connections.push_back(std::move(*connection));
    }
    const auto each = [count](std::size_t after, std::size_t before) {
      return static_cast<double>(after - before) / static_cast<double>(count);
    };
    state.counters["heap_bytes_each"] = each(AllocatedBytes(), allocated);
    state.counters["anonymous_bytes_each"] = each(AnonymousBytes(), anonymous);
    state.counters["descriptors_each"] = each(Descriptors(), descriptors);
  }
}
BENCHMARK(BM_IdleDatabases)->Arg(200)->Arg(2000)->Iterations(1)->Unit(benchmark::kMillisecond);

class OneDatabase {
 public:
  OneDatabase() {
    App app(path_);
    app.Run("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
    app.LeaveWalOnClose();
    auto connection = registry_.Open(path_);
    RUNNEL_CHECK(connection && (*connection)->Begin() && (*connection)->Rollback());
    connection_ = std::move(*connection);
  }
  Connection& connection() { return *connection_; }

 private:
  const testing::TempDir directory_;
  const fs::Path path_ = directory_.path() / "app.db";
  fs::PosixFileSystem file_system_;
  OpenRegistry registry_{file_system_};
  std::unique_ptr<Connection> connection_;
};

void BM_ReadLiveWalIndex(benchmark::State& state) {
  OneDatabase database;
  for (auto _ : state) benchmark::DoNotOptimize(ReadLiveWalIndex(database.connection()));
}
BENCHMARK(BM_ReadLiveWalIndex);

void BM_BeginAndRollback(benchmark::State& state) {
  OneDatabase database;
  for (auto _ : state) {
    RUNNEL_CHECK(database.connection().Begin());
    benchmark::DoNotOptimize(database.connection().HeldHeader());
    RUNNEL_CHECK(database.connection().Rollback());
  }
}
BENCHMARK(BM_BeginAndRollback);

void BM_WriteLock(benchmark::State& state) {
  OneDatabase database;
  for (auto _ : state) RUNNEL_CHECK(WriteLock::Take(database.connection()));
}
BENCHMARK(BM_WriteLock);

}  // namespace
}  // namespace runnel::sqlite
