// An application that writes to a database until it is told to stop, or killed.
//
// With --acknowledge each commit is written down as a line `seq checksum` by one write(), after
// SQLite has said that it is a commit: what a harness may expect to find in a restored copy.

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "apps/database.h"
#include "apps/workload.h"

namespace runnel::apps {
namespace {

using Clock = std::chrono::steady_clock;

volatile std::sig_atomic_t stop_requested = 0;

struct Options {
  WorkloadOptions workload;
  std::string kind = "ledger";
  std::string chaos;
  std::string acknowledge;
  std::string latencies;
  std::int64_t transactions = 0;
  double seconds = 0;
  int pace_us = 0;
  bool json = false;
  bool ready = false;
};

Options ParseOptions(int argc, char** argv, CLI::App& app) {
  Options options;
  WorkloadOptions& workload = options.workload;
  app.description(
      "Writes to an SQLite database in WAL mode with the system's SQLite, until --transactions, "
      "--seconds, SIGTERM or SIGKILL. app_check proves the result, or any copy of it.");
  app.add_option("database", workload.database, "Made if it is missing")->required();
  app.add_option("--workload", options.kind,
                 "ledger: transactions that app_check can prove; insert: one small row each, for "
                 "benchmarks")
      ->check(CLI::IsMember({"ledger", "insert"}))
      ->capture_default_str();
  app.add_option("--first-words", workload.first_words,
                 "SQL that each connection begins with: SQLCipher's key");
  app.add_option("--seed", workload.seed)->capture_default_str();
  app.add_option("--writer", workload.writer, "Number of this writer; changes its random numbers")
      ->capture_default_str();
  app.add_option("--transactions", options.transactions, "Stop after so many attempts (0: never)");
  app.add_option("--seconds", options.seconds, "Stop after so long (0: never)");
  app.add_option("--pace-us", options.pace_us, "Sleep between transactions");
  app.add_option("--busy-timeout", workload.busy_timeout_ms, "Milliseconds")->capture_default_str();
  app.add_option("--autocheckpoint", workload.autocheckpoint, "Frames; 0: never")
      ->capture_default_str();
  app.add_option("--synchronous", workload.synchronous)
      ->check(CLI::IsMember({"OFF", "NORMAL", "FULL"}))
      ->capture_default_str();
  app.add_option("--page-size", workload.page_size, "Of a new database")->capture_default_str();
  app.add_option("--auto-vacuum", workload.auto_vacuum, "0..2, of a new database")
      ->capture_default_str();
  app.add_option("--cache-pages", workload.cache_pages,
                 "A small cache makes transactions spill into the WAL before they commit");
  app.add_option("--rows-max", workload.rows_max, "Changes in one transaction")
      ->capture_default_str();
  app.add_option("--body-max", workload.body_max, "Bytes of most rows; some have 20 times that")
      ->capture_default_str();
  app.add_option("--live-rows", workload.live_rows, "About how many rows a table grows to")
      ->capture_default_str();
  app.add_option("--chaos", options.chaos,
                 "Comma-separated: rollback, savepoint, spill, schema, vacuum, checkpoint, "
                 "autocheckpoint, journal-mode, reopen, reader; or all");
  app.add_option("--acknowledge", options.acknowledge,
                 "Where commits are written down: a file to append to, or - for standard output");
  app.add_option("--latencies", options.latencies,
                 "A file for how long each transaction took: 32-bit microseconds, ascending");
  app.add_flag("--ready", options.ready, "Print `ready` once the database is open");
  app.add_flag("--json", options.json, "The summary at the end as one JSON object");
  app.set_version_flag("--version", sqlite3_libversion(), "The version of its SQLite");
  app.parse(argc, argv);
  if (!ParseChaos(options.chaos, workload.chaos)) {
    throw CLI::ValidationError("--chaos", "unknown name in " + options.chaos);
  }
  return options;
}

// Stops between transactions on --transactions, --seconds or a signal.
class Run {
 public:
  explicit Run(const Options& options) : options_(options), start_(Clock::now()) {}

  bool Next() {
    if (steps_ > 0 && options_.pace_us > 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(options_.pace_us));
    }
    if (stop_requested != 0) return false;
    if (options_.transactions > 0 && steps_ >= options_.transactions) return false;
    if (options_.seconds > 0 && Seconds() >= options_.seconds) return false;
    ++steps_;
    step_start_ = Clock::now();
    return true;
  }
  void Done() {
    latencies_us_.push_back(static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - step_start_).count()));
  }

  void Print(const WorkloadCounts& counts) {
    const double seconds = Seconds();
    std::ranges::sort(latencies_us_);
    const double rate = static_cast<double>(counts.committed) / seconds;
    const char* format =
        options_.json
            ? R"({{"committed":{},"rolled_back":{},"busy":{},"failed":{},"seconds":{:.3f},)"
              R"("commits_per_second":{:.1f},"p50_us":{},"p99_us":{},"max_us":{}}})"
              "\n"
            : "committed={} rolled_back={} busy={} failed={} seconds={:.3f} "
              "commits_per_second={:.1f} p50_us={} p99_us={} max_us={}\n";
    fmt::print(stderr, fmt::runtime(format), counts.committed, counts.rolled_back, counts.busy,
               counts.failed, seconds, rate, Percentile(50), Percentile(99), Percentile(100));
    WriteLatencies();
  }

 private:
  double Seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  std::uint32_t Percentile(std::size_t percent) const {
    if (latencies_us_.empty()) return 0;
    return latencies_us_[(latencies_us_.size() - 1) * percent / 100];
  }
  void WriteLatencies() const {
    if (options_.latencies.empty()) return;
    std::ofstream file(options_.latencies, std::ios::binary);
    file.write(reinterpret_cast<const char*>(latencies_us_.data()),
               static_cast<std::streamsize>(latencies_us_.size() * sizeof(latencies_us_[0])));
    if (!file.flush()) Die("cannot write " + options_.latencies);
  }

  const Options& options_;
  const Clock::time_point start_;
  Clock::time_point step_start_;
  std::int64_t steps_ = 0;
  std::vector<std::uint32_t> latencies_us_;
};

int OpenAcknowledged(const std::string& path) {
  if (path.empty()) return -1;
  if (path == "-") return STDOUT_FILENO;
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) Die("cannot append to " + path);
  return fd;
}

void PrintReady(const Options& options) {
  if (!options.ready) return;
  fmt::print("ready\n");
  std::fflush(stdout);
}

int RunLedger(const Options& options) {
  const int fd = OpenAcknowledged(options.acknowledge);
  Workload workload(options.workload, [fd](const LedgerRow& row) {
    if (fd < 0) return;
    const std::string line = fmt::format("{} {:016x}\n", row.seq, row.checksum);
    if (::write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
      Die("cannot write down a commit");
    }
  });
  workload.Open();
  PrintReady(options);
  Run run(options);
  while (run.Next()) {
    workload.Step();
    run.Done();
  }
  run.Print(workload.counts());
  return 0;
}

int RunInsert(const Options& options) {
  Database db;
  const WorkloadOptions& workload = options.workload;
  if (db.Open(workload.database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) != SQLITE_OK) {
    Die(workload.database + ": " + db.Message());
  }
  sqlite3_busy_timeout(db.get(), 10000);
  db.Execute(fmt::format("PRAGMA page_size={}", workload.page_size));
  if (db.Query("PRAGMA journal_mode=WAL") != "wal") Die("no WAL mode: " + db.Message());
  if (db.Execute("CREATE TABLE IF NOT EXISTS bench(id INTEGER PRIMARY KEY, writer, v)") !=
      SQLITE_OK) {
    Die(db.Message());
  }
  sqlite3_busy_timeout(db.get(), workload.busy_timeout_ms);
  sqlite3_wal_autocheckpoint(db.get(), workload.autocheckpoint);
  db.Execute("PRAGMA synchronous=" + workload.synchronous);
  Statement insert(db.get(), "INSERT INTO bench(writer, v) VALUES(?, ?)");
  WorkloadCounts counts;
  PrintReady(options);
  Run run(options);
  while (run.Next()) {
    const int code = insert.Bind(1, workload.writer).Bind(2, counts.committed).Run();
    if (code == SQLITE_OK) {
      ++counts.committed;
    } else if ((code & 0xff) == SQLITE_BUSY) {
      ++counts.busy;
    } else {
      ++counts.failed;
    }
    run.Done();
  }
  run.Print(counts);
  return 0;
}

}  // namespace
}  // namespace runnel::apps

int main(int argc, char** argv) {
  CLI::App app;
  try {
    const auto options = runnel::apps::ParseOptions(argc, argv, app);
    std::signal(SIGTERM, [](int) { runnel::apps::stop_requested = 1; });
    std::signal(SIGINT, [](int) { runnel::apps::stop_requested = 1; });
    return options.kind == "insert" ? runnel::apps::RunInsert(options)
                                    : runnel::apps::RunLedger(options);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
}
