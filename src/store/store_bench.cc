// What a store costs beside the calls that it cannot do without.

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "fs/posix_file_system.h"
#include "runtime/system_clock.h"
#include "runtime/system_random.h"
#include "store/file_store.h"
#include "store/object_source.h"
#include "testing/temp_dir.h"

namespace runnel::store {
namespace {

struct Place {
  testing::TempDir dir;
  fs::PosixFileSystem files;
  runtime::SystemClock clock;
  runtime::SystemRandom random;
  FileStore store{files, dir.path(), {}, clock, random};
};

std::string Name(std::size_t i) { return "ltx/0/" + std::to_string(10'000'000 + i); }

// The limit of a durable put: write, fsync, rename, fsync of the directory, and nothing else.
void BM_DurableFileLimit(benchmark::State& state) {
  const testing::TempDir dir;
  const Bytes body(static_cast<std::size_t>(state.range(0)));
  const int directory = ::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  std::size_t i = 0;
  for (auto _ : state) {
    const std::string name = dir.path() / std::to_string(i++);
    const std::string temporary = name + ".tmp";
    const int fd = ::open(temporary.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (::write(fd, body.data(), body.size()) < 0) std::perror("write");
    ::fsync(fd);
    ::close(fd);
    ::rename(temporary.c_str(), name.c_str());
    ::fsync(directory);
  }
  ::close(directory);
}
BENCHMARK(BM_DurableFileLimit)->Arg(4096)->Arg(1 << 20)->UseRealTime();

void BM_FileStorePut(benchmark::State& state) {
  Place place;
  const Bytes body(static_cast<std::size_t>(state.range(0)));
  const PutOptions options{.condition = PutCondition::IfAbsent(), .timestamp = WallTime()};
  std::size_t i = 0;
  for (auto _ : state) {
    if (!PutObject(place.store, ObjectKey(Name(i++)), body, options)) state.SkipWithError("put");
  }
}
BENCHMARK(BM_FileStorePut)->Arg(4096)->Arg(1 << 20)->UseRealTime();

void BM_FileStoreStream(benchmark::State& state) {
  Place place;
  const Bytes body(std::size_t{64} << 20);
  if (!PutObject(place.store, ObjectKey("k"), body, {})) state.SkipWithError("put");
  Bytes piece(std::size_t{64} << 10);
  for (auto _ : state) {
    ObjectSource source(place.store, ObjectKey("k"));
    while (true) {
      auto count = source.Read(piece);
      if (!count) state.SkipWithError("read");
      if (!count || *count == 0) break;
    }
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(body.size()) * state.iterations());
}
BENCHMARK(BM_FileStoreStream)->UseRealTime();

void BM_FileStoreListAll(benchmark::State& state) {
  Place place;
  const auto count = static_cast<std::size_t>(state.range(0));
  if (!place.files.CreateDirectories(place.dir.path() / "ltx/0", {.mode = 0700})) return;
  for (std::size_t i = 0; i < count; ++i) {
    if (!place.files.Open(place.dir.path() / Name(i), fs::OpenMode::kCreateNew)) return;
  }
  for (auto _ : state) {
    auto objects = ListAll(place.store, "ltx/0/");
    if (!objects || objects->size() != count) state.SkipWithError("list");
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(count) * state.iterations());
}
BENCHMARK(BM_FileStoreListAll)->Arg(1000)->Arg(10'000);

}  // namespace
}  // namespace runnel::store
