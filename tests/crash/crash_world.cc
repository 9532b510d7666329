#include "crash/crash_world.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <sstream>
#include <utility>

namespace runnel::crash {
namespace {

using namespace std::chrono_literals;

constexpr auto kSettleTime = 60s;  // on a machine that does much else

std::int64_t LastSeq(const std::string& output) {
  const std::string name = "last_seq=";
  const auto at = output.find(name);
  return at == std::string::npos ? 0 : std::stoll(output.substr(at + name.size()));
}

}  // namespace

CrashWorld::CrashWorld(std::uint64_t seed) : random_(seed), spills_(Below(2) == 0) {
  replicas_.push_back({.url = "file://" + (directory_.path() / "one").native()});
  if (Below(3) == 0) {
    replicas_.push_back({.url = "file://" + (directory_.path() / "two").native()});
  }
  WriteConfig();
  ChooseWriter();
  // Some daemons are there before the database is.
  if (Below(3) == 0) StartDaemon();
  Arguments first = writer_;
  first.insert(first.end(), {"--transactions", "1"});
  EXPECT_EQ(Run(std::move(first)).Wait(), 0);
}

CrashWorld::~CrashWorld() = default;

// Intervals so short that everything there is goes on at any instant.
void CrashWorld::WriteConfig() {
  std::ofstream config(config_);
  config << fmt::format(
      "logging: {{level: debug, stderr: true}}\n"
      "levels: [{{interval: 200ms}}, {{interval: 1s}}]\n"
      "snapshot: {{interval: {}ms, retention: {}ms}}\n"
      "l0-retention: {}ms\n"
      "l0-retention-check-interval: 100ms\n"
      "dbs:\n"
      "  - path: {}\n"
      "    sync-interval: {}ms\n"
      "    page-encoding: {}\n"
      "    min-checkpoint-page-count: {}\n"
      "    checkpoint-interval: {}ms\n"
      "    replicas:\n",
      OneOf({500, 2000}), OneOf({500, 3000}), OneOf({0, 300, 1000}), database_.native(),
      OneOf({20, 50, 100}), OneOf({"block", "frame"}), OneOf({8, 50, 800}), OneOf({100, 60000}));
  for (const Replica& replica : replicas_) config << "      - url: " << replica.url << "\n";
}

void CrashWorld::ChooseWriter() {
  const auto text = [this](std::initializer_list<int> choices) {
    return std::to_string(OneOf(choices));
  };
  writer_ = {RUNNEL_APP_WRITER, database_.native(),
             "--acknowledge",   acknowledged_.native(),
             "--page-size",     text({512, 1024, 4096, 4096, 65536}),
             "--auto-vacuum",   text({0, 0, 1, 2}),
             "--cache-pages",   spills_ ? text({0, 10}) : "2000",
             "--rows-max",      text({1, 5, 20}),
             "--body-max",      text({50, 500, 2000}),
             "--live-rows",     text({20, 100, 300})};
}

integration::Program CrashWorld::Run(Arguments arguments) const {
  // Everything that any of them says goes to one log.
  Arguments all{"/bin/sh", "-c", R"(exec "$@" 2>>"$0")", log_.native()};
  all.insert(all.end(), std::make_move_iterator(arguments.begin()),
             std::make_move_iterator(arguments.end()));
  return Program(std::move(all));
}

void CrashWorld::Wait(int max_ms) {
  clock_.Sleep(std::chrono::microseconds(Below(static_cast<std::uint64_t>(max_ms) * 1000)));
}

void CrashWorld::StartDaemon() {
  if (daemon_) return;
  daemon_.reset(new Program(Run({RUNNEL_BINARY, "replicate", "-config", config_.native()})));
}

void CrashWorld::StartWriters() {
  const std::size_t wanted = 1 + Below(5) / 4;
  while (writers_.size() < wanted) {
    Arguments arguments = writer_;
    ++writers_started_;
    const std::string number = std::to_string(writers_started_);
    arguments.insert(arguments.end(),
                     {"--writer", number, "--seed", std::to_string(Below(1U << 30)),  //
                      "--synchronous", OneOf({"OFF", "NORMAL", "FULL"}),              //
                      "--pace-us", OneOf({"0", "500", "3000", "20000"}),              //
                      "--autocheckpoint", OneOf({"0", "20", "1000"}),                 //
                      "--chaos", Chaos()});
    writers_.emplace_back(new Program(Run(std::move(arguments))));
  }
}

std::string CrashWorld::Chaos() {
  const std::string others =
      OneOf({"", "rollback,", "checkpoint,autocheckpoint,reopen,", "schema,vacuum,journal-mode,",
             "rollback,schema,vacuum,checkpoint,autocheckpoint,journal-mode,reopen,reader,"});
  return others + (spills_ ? "spill" : "savepoint");
}

void CrashWorld::KillDaemon() {
  if (!daemon_) return;
  daemon_->Kill();
  const int status = daemon_->Wait();
  EXPECT_EQ(status, -SIGKILL) << "the daemon had ended by itself";
  daemon_.reset();
  ++counts_.daemon_kills;
}

void CrashWorld::KillWriters() {
  for (const auto& writer : writers_) {
    writer->Kill();
    const int status = writer->Wait();
    EXPECT_TRUE(status == -SIGKILL || WriterWasLockedOut())
        << "the application had ended by itself, with status " << status;
    ++counts_.writer_kills;
  }
  writers_.clear();
}

// Applications that open a database at once may keep each other from WAL mode.
bool CrashWorld::WriterWasLockedOut() const {
  std::ifstream log(log_);
  for (std::string line; std::getline(log, line);) {
    if (line.ends_with("no WAL mode: database is locked")) return true;
  }
  return false;
}

void CrashWorld::StopDaemon() {
  if (!daemon_) return;
  const std::int64_t acknowledged = Acknowledged();
  daemon_->Signal(SIGTERM);
  const int status = daemon_->Wait();
  daemon_.reset();
  ++counts_.daemon_stops;
  // It may not have come so far as to wait for signals; then it promised nothing.
  if (status == -SIGTERM) return;
  EXPECT_EQ(status, 0) << "of a daemon that was asked to end";
  if (status == 0) RaiseFloors(acknowledged);
}

// As somebody would who wants to be sure: with the applications at rest, or in full run.
void CrashWorld::RunOnce() {
  KillDaemon();
  if (Below(2) == 0) KillWriters();
  const std::int64_t acknowledged = Acknowledged();
  const int status = Run({RUNNEL_BINARY, "replicate", "-config", config_.native(), "-once"}).Wait();
  ++counts_.daemon_stops;
  EXPECT_EQ(status, 0) << "of runnel replicate -once";
  if (status == 0) RaiseFloors(acknowledged);
}

void CrashWorld::Settle() {
  KillWriters();
  StartDaemon();
  ++counts_.settlements;
  std::string live;
  ASSERT_EQ(Check(database_, Acknowledged(), live), 0) << live;
  const auto until = clock_.MonotonicNow() + kSettleTime;
  for (Replica& replica : replicas_) {
    std::string copy;
    for (;;) {
      if (Restore(replica)) {
        const bool is_proved = Check(copy_, replica.floor, copy) == 0;
        ASSERT_TRUE(is_proved || IsBeforeTheLedger(replica, copy)) << copy;
      }
      if (copy == live) break;
      ASSERT_LT(clock_.MonotonicNow(), until) << replica.url << " never became equal:\n"
                                              << copy << "to the live database:\n"
                                              << live;
      clock_.Sleep(20ms);
    }
    replica.floor = LastSeq(copy);
    counts_.commits = replica.floor;
  }
}

bool CrashWorld::Restore(const Replica& replica) {
  std::filesystem::remove(copy_);
  const std::string parallelism = OneOf({"1", "2", "8"});
  Program restore = Run({RUNNEL_BINARY, "restore", "-if-replica-exists", "-parallelism",
                         parallelism, "-o", copy_.native(), replica.url});
  ++counts_.restores;
  EXPECT_EQ(restore.Wait(), 0) << "of runnel restore " << replica.url;
  const bool is_there = std::filesystem::exists(copy_);
  EXPECT_TRUE(is_there || replica.floor == 0)
      << replica.url << ": nothing to restore, but seq " << replica.floor << " was there";
  return is_there;
}

int CrashWorld::Check(const std::filesystem::path& database, std::int64_t at_least,
                      std::string& output) {
  Program check = Run({RUNNEL_APP_CHECK, database.native(), "--acknowledged",
                       acknowledged_.native(), "--at-least", std::to_string(at_least)});
  const int status = check.Wait();
  output = check.output();
  return status;
}

// A copy of what there was before the application made its tables.
bool CrashWorld::IsBeforeTheLedger(const Replica& replica, const std::string& output) {
  return replica.floor == 0 && LastSeq(output) == 0;
}

void CrashWorld::Prove(Replica& replica) {
  if (!Restore(replica)) return;
  std::string output;
  const int status = Check(copy_, replica.floor, output);
  if (status != 0 && IsBeforeTheLedger(replica, output)) return;
  ASSERT_EQ(status, 0) << replica.url << " at seq " << replica.floor << ":\n" << output;
  replica.floor = LastSeq(output);
}

void CrashWorld::ProveAll() {
  for (Replica& replica : replicas_) Prove(replica);
}

void CrashWorld::ProveLive() {
  std::string output;
  EXPECT_EQ(Check(database_, Acknowledged(), output), 0) << "of the live database:\n" << output;
}

std::int64_t CrashWorld::Acknowledged() const {
  std::ifstream file(acknowledged_);
  std::int64_t newest = 0;
  for (std::string line; std::getline(file, line);) {
    // Without the checksum's 16 digits: cut off by a kill.
    const auto space = line.find(' ');
    if (space != std::string::npos && line.size() == space + 17) {
      newest = std::max<std::int64_t>(newest, std::stoll(line));
    }
  }
  return newest;
}

void CrashWorld::RaiseFloors(std::int64_t seq) {
  for (Replica& replica : replicas_) replica.floor = std::max(replica.floor, seq);
}

void CrashWorld::Round() {
  ++counts_.rounds;
  const bool daemon_first = Below(2) == 0;
  if (daemon_first) StartDaemon();
  StartWriters();
  if (!daemon_first && Below(8) != 0) StartDaemon();
  // Many die young, some while they still open what their predecessor left.
  Wait(OneOf({10, 60, 300, 1000}));
  switch (Below(8)) {
    case 0:
    case 1:
    case 2: KillDaemon(); break;
    case 3: KillWriters(); break;
    case 4:
      KillDaemon();
      KillWriters();
      ProveLive();
      break;
    case 5: StopDaemon(); break;
    case 6: RunOnce(); break;
    default: Settle(); break;
  }
  ProveAll();
}

void CrashWorld::Finish() {
  Settle();
  ProveLive();
  if (Below(2) == 0) StopDaemon();
  for (const Replica& replica : replicas_) {
    Program verify = Run({RUNNEL_BINARY, "verify", replica.url});
    EXPECT_EQ(verify.Wait(), 0) << "of runnel verify " << replica.url << ":\n" << verify.output();
  }
  KillDaemon();
}

std::string CrashWorld::Autopsy() {
  const std::string kept = directory_.path().native() + "-kept";
  std::filesystem::copy(directory_.path(), kept, std::filesystem::copy_options::recursive);
  std::string live;
  const int status = Check(database_, Acknowledged(), live);
  std::stringstream log;
  log << std::ifstream(log_).rdbuf();
  std::string tail = std::move(log).str();
  constexpr std::size_t kShown = 8000;
  if (tail.size() > kShown) tail.erase(0, tail.size() - kShown);
  return fmt::format("everything is in {}\napp_check of the live database ends with {}:\n{}\n{}",
                     kept, status, live, tail);
}

}  // namespace runnel::crash
