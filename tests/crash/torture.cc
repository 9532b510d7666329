#include "tests/crash/torture.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>

#include <charconv>
#include <filesystem>
#include <fstream>

#include "fs/file_operations.h"
#include "testing/result_matchers.h"

namespace runnel::tests {
namespace {

// The database as an application sees it, against a copy: how many pages differ.
std::string CountDifferentPages(const std::string& live, const std::string& copy,
                                std::int64_t& different) {
  sqlite3* db = nullptr;
  std::string error;
  const std::string attach = "ATTACH '" + copy + "' AS copy";
  sqlite3_stmt* statement = nullptr;
  const bool ok =
      sqlite3_open(live.c_str(), &db) == SQLITE_OK &&
      sqlite3_exec(db, attach.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK &&
      sqlite3_prepare_v2(db,
                         "SELECT count(*), coalesce(group_concat(pgno), '') FROM "
                         "sqlite_dbpage('main') a FULL JOIN sqlite_dbpage('copy') b USING (pgno) "
                         "WHERE a.data IS NOT b.data",
                         -1, &statement, nullptr) == SQLITE_OK &&
      sqlite3_step(statement) == SQLITE_ROW;
  if (ok) {
    different = sqlite3_column_int64(statement, 0);
    error = reinterpret_cast<const char*>(sqlite3_column_text(statement, 1));
  } else {
    different = -1;
    error = sqlite3_errmsg(db);
  }
  sqlite3_finalize(statement);
  sqlite3_close(db);
  return error;
}

}  // namespace

Torture::Torture(std::uint64_t seed)
    : random_(seed),
      page_size_(OneOf<std::string>({"512", "1024", "4096", "8192", "65536"})),
      auto_vacuum_(OneOf<std::string>({"0", "1", "2"})),
      savepoints_(static_cast<Savepoints>(Below(3))) {
  ::testing::Test::RecordProperty("seed", std::to_string(seed));
}

Torture::~Torture() = default;

std::unique_ptr<Process> Torture::StartDaemon(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {
      File("app.db"),    File(".app.db-litestream"),
      "--sync-interval", OneOf<std::string>({"1", "10", "50", "300"}),
      "--threshold",     OneOf<std::string>({"10", "50", "200", "800"}),
      "--buffer",        OneOf<std::string>({"140000", "8388608"}),
      "--table",         OneOf<std::string>({"16", "65536"}),
      "--release",       std::to_string(ToInt(copy_.newest())),
  };
  arguments.insert(arguments.end(), more.begin(), more.end());
  return std::make_unique<Process>(RUNNEL_CAPTURE_DAEMON, arguments, File("daemon.log"));
}

std::unique_ptr<Process> Torture::StartWriter(int writer) {
  const std::vector<std::string> arguments = {
      File("app.db"),
      "--seed",
      std::to_string(Below(1U << 30)),
      "--writer",
      std::to_string(writer),
      "--busy-timeout",
      OneOf<std::string>({"0", "100", "5000"}),
      "--autocheckpoint",
      OneOf<std::string>({"0", "10", "100", "1000"}),
      "--synchronous",
      OneOf<std::string>({"OFF", "NORMAL", "FULL"}),
      "--page-size",
      page_size_,
      "--auto-vacuum",
      auto_vacuum_,
      "--cache-pages",
      savepoints_ == Savepoints::kAlone ? "0" : OneOf<std::string>({"0", "10"}),
      "--live-rows",
      "60",
      "--body-max",
      "900",
      "--pace-us",
      OneOf<std::string>({"100", "500", "5000"}),
      "--chaos",
      Chaos(),
      "--acknowledge",
      File("acknowledged"),
  };
  return std::make_unique<Process>(RUNNEL_APP_WRITER, arguments, File("writer.log"));
}

std::string Torture::Chaos() {
  const std::string common =
      "rollback,schema,vacuum,checkpoint,autocheckpoint,journal-mode,reopen,reader";
  const std::string theirs[] = {"spill", "savepoint", "savepoint,spill"};
  return OneOf<std::string>({common + ",", ""}) + theirs[static_cast<std::size_t>(savepoints_)];
}

void Torture::PauseUpTo(int milliseconds) {
  const auto us = Below(static_cast<std::uint64_t>(milliseconds) * 1000 + 1);
  clock_.Sleep(std::chrono::microseconds(us));
}

void Torture::RunAndKill() {
  std::vector<std::unique_ptr<Process>> writers;
  std::unique_ptr<Process> daemon;
  if (Below(4) != 0) daemon = StartDaemon({});
  const auto writer_count = static_cast<int>(1 + Below(3));
  for (int i = 1; i <= writer_count; ++i) writers.push_back(StartWriter(i));
  const int events = static_cast<int>(1 + Below(5));
  for (int i = 0; i < events; ++i) {
    PauseUpTo(OneOf<int>({5, 60, 300}));
    if (Below(2) == 0) {
      auto& writer = writers[Below(writers.size())];
      writer->Signal(SIGKILL);
      writer->Wait();
      ++counts_.application_kills;
      // Another one in its place, perhaps.
      if (Below(2) == 0) writer = StartWriter(static_cast<int>(1 + Below(3)));
    } else if (daemon) {
      const bool clean = Below(4) == 0;
      daemon->Signal(clean ? SIGTERM : SIGKILL);
      const int status = daemon->Wait();
      // It may be told to end before it listens.
      EXPECT_TRUE(clean ? status == 0 || status == 128 + SIGTERM : status == 128 + SIGKILL)
          << "the daemon ended with status " << status;
      if (!clean) ++counts_.daemon_kills;
      if (Below(3) == 0) PauseUpTo(50);
      daemon = StartDaemon({});
    } else {
      daemon = StartDaemon({});
    }
  }
  // The last ones in either order, and some applications in peace.
  const bool daemon_first = Below(2) == 0;
  const auto kill_daemon = [&] {
    if (!daemon) return;
    daemon->Signal(SIGKILL);
    EXPECT_EQ(daemon->Wait(), 128 + SIGKILL) << "the daemon ended by itself";
    ++counts_.daemon_kills;
  };
  if (daemon_first) kill_daemon();
  for (auto& writer : writers) {
    const bool clean = Below(4) == 0;
    writer->Signal(clean ? SIGTERM : SIGKILL);
    writer->Wait();
    if (!clean) ++counts_.application_kills;
  }
  EXPECT_FALSE(WriterMetDamage());
  if (!daemon_first) {
    PauseUpTo(30);
    kill_daemon();
  }
}

void Torture::Settle() {
  auto daemon = StartDaemon({"--settle"});
  ASSERT_EQ(daemon->Wait(), 0) << "the daemon could not bring the cuts to the database";
}

// A writer that meets damage says so. (One that ends with an error without it was locked out by
// others while it opened the database.)
bool Torture::WriterMetDamage() const {
  std::ifstream file(File("writer.log"));
  for (std::string line; std::getline(file, line);) {
    if (line.find("SQLite says") != std::string::npos) return true;
  }
  return false;
}

std::int64_t Torture::LastAcknowledged() const {
  std::ifstream file(File("acknowledged"));
  std::int64_t last = 0;
  for (std::string line; std::getline(file, line);) {
    std::int64_t seq = 0;
    const char* end = line.data() + line.size();
    const auto parsed = std::from_chars(line.data(), end, seq);
    // A line that a kill cut short may be any beginning of a number.
    if (parsed.ec == std::errc{} && end - parsed.ptr == 17) last = std::max(last, seq);
  }
  return last;
}

// The exit status of app_check on a copy.
int Torture::CheckLedger(const std::string& copy, std::int64_t at_least) {
  std::vector<std::string> arguments = {copy, "--immutable"};
  if (savepoints_ != Savepoints::kWithSpills) {
    arguments.insert(arguments.end(), {"--acknowledged", File("acknowledged"), "--at-least",
                                       std::to_string(at_least)});
  }
  return Process(RUNNEL_APP_CHECK, arguments, File("check.log")).Wait();
}

void Torture::ProvePrefix(Txid txid) {
  const std::string copy = File("prefix.db");
  ASSERT_OK(fs::ReplaceFile(files_, copy, copy_.content(), {}));
  EXPECT_EQ(CheckLedger(copy, 0), 0) << "cut " << ToInt(txid) << " is not a state that there was";
  ++counts_.prefixes_proved;
}

void Torture::ApplyCuts() {
  // Before the first commit of a writer there is no ledger to be proved.
  const auto visit = [this](Txid txid) {
    ++counts_.cuts;
    if (LastAcknowledged() > 0 && Below(12) == 0 && txid > Txid{3}) ProvePrefix(txid);
  };
  ASSERT_OK(copy_.Apply(files_, File(".app.db-litestream/ltx/0"), visit));
  counts_.new_chains = copy_.new_chains();
}

void Torture::ExpectEqualToLive() {
  const std::string copy = File("copy.db");
  ASSERT_OK(fs::ReplaceFile(files_, copy, copy_.content(), {}));
  const std::int64_t last = LastAcknowledged();
  counts_.commits = last;
  if (last > 0) {
    EXPECT_EQ(CheckLedger(copy, last), 0) << "the newest cut is not the newest state";
  }
  std::int64_t different = 0;
  const std::string which = CountDifferentPages(File("app.db"), copy, different);
  EXPECT_EQ(different, 0) << "pages " << which;
  for (const char* suffix : {"-wal", "-shm"}) (void)files_.Remove(copy + suffix);
}

void Torture::Round() {
  ++counts_.rounds;
  RunAndKill();
  const auto database = files_.Stat(File("app.db"));
  if (!database || database->size_bytes == 0) return;  // killed before its first page
  Settle();
  if (::testing::Test::HasFailure()) return;
  ApplyCuts();
  if (::testing::Test::HasFailure()) return;
  ExpectEqualToLive();
}

std::string Torture::KeepFiles() {
  const auto kept = directory_.path().string() + "-kept";
  std::filesystem::copy(directory_.path(), kept, std::filesystem::copy_options::recursive);
  return kept;
}

}  // namespace runnel::tests
