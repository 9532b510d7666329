// How long a restore takes beside `cp` of its result, and how much memory.
//
//   restore_bench [--size-mb N] [--transactions N] [--layout levels|single] [--untagged]
//                 [--parallelism N] [--rounds N] [--dir D] [--json]
//
// Builds a replica in a file store: a snapshot, then transactions of a few pages each, compacted as
// the default schedule would (levels) or not at all (single). What is compared takes turns, each
// after a sync of the disk, in processes of its own; ratios are of one round, and medians count.
// The limits are 1.5 times cp, and 64 MiB.
//
// cp leaves its result in memory, a restore syncs it. How much of the difference is the disk's is
// said by two writers of as many bytes that come from nowhere: one that writes and syncs, and one
// that lets the disk begin early, as a restore does. No durable restore can be faster than that.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "fs/posix_file_system.h"
#include "restore/restore.h"
#include "restore/testing.h"
#include "runtime/system_clock.h"
#include "runtime/system_random.h"
#include "store/file_store.h"
#include "testing/temp_dir.h"

namespace runnel::restore {
namespace {

using testing::History;
using testing::ReplicaWriter;

constexpr std::uint32_t kPageSize = 4096;

struct BenchOptions {
  std::uint64_t size_mb = 128;
  std::uint64_t transactions = 1000;
  int parallelism = 8;
  int rounds = 5;
  bool single = false;
  bool untagged = false;
  bool json = false;
  std::string folder;
};

// What a process used.
struct Usage {
  double wall_s = 0;
  double cpu_s = 0;
  double peak_mib = 0;
};

// Ends the program: there is nobody to hand an error to.
template <class T>
T Must(Result<T> result) {
  if (!result) {
    fmt::print(stderr, "restore_bench: {}\n", result.error().message());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

struct World {
  explicit World(const std::string& folder)
      : store(files, folder + "/replica", {}, clock, random) {}

  fs::PosixFileSystem files;
  runtime::SystemClock clock;
  runtime::SystemRandom random;
  store::FileStore store;
  store::ReplicaLayout layout{store::LayoutKind::kTree, "db"};
};

History MakeHistory(const BenchOptions& options) {
  std::mt19937_64 random(1);
  History history(kPageSize);
  const auto pages = static_cast<std::uint32_t>(options.size_mb * 1024 * 1024 / kPageSize);
  history.Cut({}, pages);
  for (std::uint64_t i = 0; i < options.transactions; ++i) {
    std::vector<std::uint32_t> changed{1};
    for (int k = 0; k < 4; ++k) {
      changed.push_back(1 + static_cast<std::uint32_t>(random() % pages));
      changed.push_back(1 + static_cast<std::uint32_t>(random() % 256));
    }
    history.Cut(std::move(changed), pages);
  }
  return history;
}

void WriteReplica(World& world, const History& history, const BenchOptions& options) {
  ReplicaWriter writer(world.store, world.layout, history);
  const testing::WriteOptions write{
      .tag = options.untagged ? testing::Tag::kNone : testing::Tag::kChain,
      .encoding = ltx::PageEncoding::kBlock};
  Must(writer.Put(9, 1, 1, write));
  const std::uint64_t newest = ToInt(history.newest());
  std::uint64_t next = 2;
  const auto compact = [&](int level, std::uint64_t cuts) {
    for (; next + cuts - 1 <= newest; next += cuts) {
      Must(writer.Put(level, next, next + cuts - 1, write));
    }
  };
  if (!options.single) {
    compact(3, 3600);
    compact(2, 300);
    compact(1, 30);
  }
  compact(0, 1);
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

// Runs a program, and waits until `synced`, if given, is on the disk.
Usage RunProgram(std::vector<std::string> words, const std::string& synced = {}) {
  ::sync();
  runtime::SystemClock clock;
  const MonotonicTime start = clock.MonotonicNow();
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  int status = 0;
  rusage usage{};
  ::wait4(child, &status, 0, &usage);
  if (status != 0) Must<void>(Fail(Errc::kInternal, words[0] + " failed"));
  if (!synced.empty()) {
    const int file = ::open(synced.c_str(), O_RDONLY | O_CLOEXEC);
    ::fsync(file);
    ::close(file);
  }
  const std::chrono::duration<double> wall = clock.MonotonicNow() - start;
  return {.wall_s = wall.count(),
          .cpu_s = Seconds(usage.ru_utime) + Seconds(usage.ru_stime),
          .peak_mib = 0};
}

// Of this process since it was started: getrusage() would count what it was before the exec.
double PeakMib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  }
  return 0;
}

int RestoreInThisProcess(const std::string& folder, int parallelism) {
  World world(folder);
  NullLogger log;
  ExecuteOptions options;
  options.output = folder + "/restored";
  options.parallelism = parallelism;
  const std::vector<Destination> destinations = {{"file", {&world.store, &world.layout}}};
  Must(Restorer(world.files, world.clock, log).Restore(destinations, Target::Latest(), options));
  std::ofstream(folder + "/peak") << PeakMib();
  return 0;
}

void Verify(World& world, const History& history, const std::string& path) {
  const auto file = Must(world.files.Open(path, fs::OpenMode::kRead));
  Bytes restored(kPageSize);
  Bytes expected(kPageSize);
  std::uint64_t compared = 0;
  for (const auto [page, version] : history.Changed(Txid{1}, history.newest())) {
    testing::FillPage(PageNo{page}, version, expected);
    Must(file->ReadAt(std::uint64_t{page - 1} * kPageSize, restored));
    if (restored != expected) {
      Must<void>(Fail(Errc::kCorruption, fmt::format("page {} is wrong", page)));
    }
    ++compared;
  }
  const std::uint64_t size = Must(file->Info()).size_bytes;
  const std::uint64_t pages = history.CommitAt(history.newest());
  const bool has_lock_page = ToInt(LockPage(kPageSize)) <= pages;
  if (size != pages * kPageSize || compared != pages - (has_lock_page ? 1 : 0)) {
    Must<void>(Fail(Errc::kCorruption, "the size is wrong"));
  }
}

enum class WriteBack : std::uint8_t { kAtTheEnd, kEarly };

// Writes `bytes` that need no work, and syncs them.
int WriteInThisProcess(const std::string& path, std::uint64_t bytes, WriteBack write_back) {
  fs::PosixFileSystem files;
  const auto file = Must(files.Open(path, fs::OpenMode::kCreateNew));
  if (write_back == WriteBack::kEarly) Must(file->Allocate(bytes));
  Bytes piece(64 << 10);
  std::uint64_t begun = 0;
  for (std::uint64_t at = 0; at < bytes; at += piece.size()) {
    if (at == 0) {
      for (std::size_t i = 0; i < piece.size(); i += kPageSize) {
        testing::FillPage(PageNo{1}, static_cast<std::uint32_t>(i),
                          MutableBytes(piece).subspan(i, kPageSize));
      }
    }
    const std::uint64_t size = std::min<std::uint64_t>(piece.size(), bytes - at);
    Must(file->WriteAt(at, ByteView(piece).first(static_cast<std::size_t>(size))));
    const std::uint64_t written = at + size;
    if (write_back == WriteBack::kEarly && (written - begun >= (4 << 20) || written == bytes)) {
      file->StartWriteBack(begun, written - begun);
      begun = written;
    }
  }
  Must(file->Sync());
  return 0;
}

// One way to make the file, over all rounds.
struct Side {
  const char* name;  // in the table
  const char* key;   // in JSON
  std::vector<std::string> words;
  std::string result;  // removed after a round
  bool sync_after = false;
  std::vector<Usage> usages = {};

  double Median(double Usage::* figure) const {
    std::vector<double> values;
    for (const Usage& usage : usages) values.push_back(usage.*figure);
    std::ranges::sort(values);
    return values[values.size() / 2];
  }
};

// The middle one of the rounds' ratios.
double Ratio(const Side& side, const Side& beside) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < side.usages.size(); ++i) {
    ratios.push_back(side.usages[i].wall_s / beside.usages[i].wall_s);
  }
  std::ranges::sort(ratios);
  return ratios[ratios.size() / 2];
}

// The first side is the restore.
void Print(const BenchOptions& options, std::uint64_t replica_bytes,
           const std::vector<Side>& sides) {
  const Side& restore = sides.front();
  const double peak_mib = restore.Median(&Usage::peak_mib);
  if (options.json) {
    fmt::print(
        "{{\"size_mb\": {}, \"transactions\": {}, \"layout\": \"{}\", \"tagged\": {}, "
        "\"parallelism\": {}, \"replica_mb\": {:.1f}, \"peak_mib\": {:.1f}, "
        "\"peak_mib_limit\": 64, \"ratio_limit\": 1.5",
        options.size_mb, options.transactions, options.single ? "single" : "levels",
        !options.untagged, options.parallelism, static_cast<double>(replica_bytes) / 1e6, peak_mib);
    for (const Side& side : sides) {
      fmt::print(", \"{0}_s\": {1:.3f}, \"{0}_cpu_s\": {2:.3f}, \"ratio_to_{0}\": {3:.2f}",
                 side.key, side.Median(&Usage::wall_s), side.Median(&Usage::cpu_s),
                 Ratio(restore, side));
    }
    fmt::print("}}\n");
    return;
  }
  fmt::print(
      "{} MiB + {} transactions ({}, {}), replica {:.1f} MB, parallelism {}, peak {:.1f} MiB "
      "(limit 64)\n",
      options.size_mb, options.transactions, options.single ? "one file each" : "levels",
      options.untagged ? "no chain" : "chain", static_cast<double>(replica_bytes) / 1e6,
      options.parallelism, peak_mib);
  for (const Side& side : sides) {
    fmt::print("{:32} {:7.3f} s   cpu {:.3f} s   restore / this = {:.2f}{}\n", side.name,
               side.Median(&Usage::wall_s), side.Median(&Usage::cpu_s), Ratio(restore, side),
               side.key == std::string_view("cp") ? " (limit 1.5)" : "");
  }
}

std::uint64_t ReplicaBytes(World& world) {
  const Source source{&world.store, &world.layout};
  std::uint64_t bytes = 0;
  for (const LtxFile& file : Must(ListReplica(source, 2, {})).files) bytes += file.size_bytes;
  return bytes;
}

std::vector<Side> MakeSides(const BenchOptions& options, const std::string& self) {
  const std::string restored = options.folder + "/restored";
  const std::string model = options.folder + "/model";
  const std::string copy = options.folder + "/copy";
  const std::string bytes = std::to_string(options.size_mb << 20);
  const std::string parallelism = std::to_string(options.parallelism);
  return {
      {"restore", "restore", {self, "--restore-child", options.folder, parallelism}, restored},
      {"cp", "cp", {"cp", model, copy}, copy},
      {"cp, then sync", "cp_fsync", {"cp", model, copy}, copy, true},
      {"write, then sync", "write_fsync", {self, "--write-child", copy, bytes, "end"}, copy},
      {"write with early write-back, sync",
       "write_early_fsync",
       {self, "--write-child", copy, bytes, "early"},
       copy},
  };
}

int Bench(const BenchOptions& options, const std::string& self) {
  World world(options.folder);
  const History history = MakeHistory(options);
  WriteReplica(world, history, options);
  std::vector<Side> sides = MakeSides(options, self);
  // What cp copies: the result of a restore that is not counted.
  RunProgram(sides.front().words);
  Verify(world, history, sides.front().result);
  fs::PosixFileSystem files;
  Must(files.Rename(sides.front().result, options.folder + "/model"));
  for (int round = 0; round < options.rounds; ++round) {
    for (std::size_t i = 0; i < sides.size(); ++i) {
      Side& side = sides[round % 2 == 0 ? i : sides.size() - 1 - i];
      Usage usage = RunProgram(side.words, side.sync_after ? side.result : std::string());
      std::ifstream(options.folder + "/peak") >> usage.peak_mib;
      side.usages.push_back(usage);
      ::unlink(side.result.c_str());
    }
  }
  Print(options, ReplicaBytes(world), sides);
  return 0;
}

int Main(int argc, char** argv) {
  if (argc == 4 && std::strcmp(argv[1], "--restore-child") == 0) {
    return RestoreInThisProcess(argv[2], std::atoi(argv[3]));
  }
  if (argc == 5 && std::strcmp(argv[1], "--write-child") == 0) {
    return WriteInThisProcess(
        argv[2], std::strtoull(argv[3], nullptr, 10),
        std::strcmp(argv[4], "early") == 0 ? WriteBack::kEarly : WriteBack::kAtTheEnd);
  }
  BenchOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const auto value = [&]() -> const char* { return i + 1 < argc ? argv[++i] : ""; };
    if (word == "--size-mb") {
      options.size_mb = std::strtoull(value(), nullptr, 10);
    } else if (word == "--transactions") {
      options.transactions = std::strtoull(value(), nullptr, 10);
    } else if (word == "--parallelism") {
      options.parallelism = std::atoi(value());
    } else if (word == "--rounds") {
      options.rounds = std::max(1, std::atoi(value()));
    } else if (word == "--layout") {
      options.single = std::string_view(value()) == "single";
    } else if (word == "--dir") {
      options.folder = value();
    } else if (word == "--untagged") {
      options.untagged = true;
    } else if (word == "--json" || word == "--benchmark_format=json") {
      options.json = true;
    } else {
      fmt::print(stderr, "restore_bench: unknown option {}\n", word);
      return 2;
    }
  }
  runnel::testing::TempDir temp;
  if (options.folder.empty()) options.folder = temp.path().string();
  return Bench(options, "/proc/self/exe");
}

}  // namespace
}  // namespace runnel::restore

int main(int argc, char** argv) { return runnel::restore::Main(argc, argv); }
