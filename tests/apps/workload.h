// What app_writer does to its database: transactions drawn from a seeded generator.
//
// Equal options and seed give an equal sequence of attempts. Which of them commit may differ: other
// writers and their locks are not part of the seed.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "apps/database.h"
#include "apps/ledger.h"

namespace runnel::apps {

// SplitMix64.
class Generator {
 public:
  explicit Generator(std::uint64_t seed) : state_(seed) {}
  std::uint64_t Next();
  std::uint64_t Below(std::uint64_t bound) { return Next() % bound; }
  bool OneIn(std::uint64_t n) { return Below(n) == 0; }

 private:
  std::uint64_t state_;
};

// What may happen beside plain transactions.
struct Chaos {
  bool rollback = false;
  bool savepoint = false;
  bool spill = false;   // transactions larger than the cache: frames reach the WAL uncommitted
  bool schema = false;  // indexes and tables come and go
  bool vacuum = false;
  bool checkpoint = false;      // all four modes
  bool autocheckpoint = false;  // 0..1000, changing
  bool journal_mode = false;    // tries to leave WAL mode, and comes back if it could
  bool reopen = false;          // closes its last connection and opens another
  bool reader = false;          // keeps a read transaction over many commits
};

// Comma-separated names of the fields, or "all". Empty text: none. False for an unknown name.
bool ParseChaos(const std::string& text, Chaos& chaos);

struct WorkloadOptions {
  std::string database;
  std::string first_words;  // SQL that each connection begins with: SQLCipher's key
  std::uint64_t seed = 1;
  std::int64_t writer = 1;
  int busy_timeout_ms = 5000;
  int autocheckpoint = 1000;
  std::string synchronous = "NORMAL";
  int page_size = 4096;
  int auto_vacuum = 0;
  int cache_pages = 0;  // 0: SQLite's default
  int rows_max = 20;
  int body_max = 2000;
  int live_rows = 2000;  // about how many rows a table keeps
  Chaos chaos;
};

struct WorkloadCounts {
  std::int64_t committed = 0;
  std::int64_t rolled_back = 0;
  std::int64_t busy = 0;    // SQLITE_BUSY and SQLITE_LOCKED reached the application
  std::int64_t failed = 0;  // SQLITE_FULL and SQLITE_IOERR did
};

class Workload {
 public:
  // `acknowledge` is called for each commit after SQLite has said that it is one.
  Workload(WorkloadOptions options, std::function<void(const LedgerRow&)> acknowledge);

  // Opens or makes the database. Ends the process if it cannot be.
  void Open();

  // One transaction or one disturbance. Ends the process if SQLite reports damage.
  void Step();

  const WorkloadCounts& counts() const { return counts_; }

 private:
  enum class End { kCommit, kRollback };

  // These return SQLite's code.
  int Transaction(int rows, End end);
  int Apply(int rows, std::uint64_t& digest);
  int ApplyInSavepoint(int rows, std::uint64_t& digest);
  int ChangeRow(std::uint64_t& digest);
  int ChangeSchema();
  int LeaveWalMode();

  void Disturb();
  void HoldReader();
  void Configure();
  void Reopen();
  void Count(int code);
  std::vector<unsigned char> Body();

  const WorkloadOptions options_;
  const std::function<void(const LedgerRow&)> acknowledge_;
  Generator random_;
  Database db_;
  Database reader_;
  int reader_steps_left_ = 0;
  WorkloadCounts counts_;
};

}  // namespace runnel::apps
