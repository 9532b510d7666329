// Verifies a database that app_writer wrote, or a copy of one. See ledger.h for what is proved.
//
// Exit status: 0 proved, 1 not (each problem is a line on standard error), 2 usage, 3 cannot open.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "apps/database.h"
#include "apps/ledger.h"

namespace runnel::apps {
namespace {

struct Options {
  std::string database;
  std::string acknowledged;
  std::string first_words;
  std::int64_t at_least = 0;
  bool immutable = false;
  bool json = false;
};

Options ParseOptions(int argc, char** argv, CLI::App& app) {
  Options options;
  app.description(
      "Verifies a database that app_writer wrote: integrity_check, the ledger is gapless and its "
      "checksum chain holds, and the content of all tables is exactly that of its last commit.");
  app.add_option("database", options.database, "The database, or a copy of it")->required();
  app.add_option("--first-words", options.first_words,
                 "SQL that each connection begins with: SQLCipher's key");
  app.add_option("--acknowledged", options.acknowledged,
                 "File of `seq checksum` lines from app_writer; every one that the database "
                 "reaches must be in it with that checksum");
  app.add_option("--at-least", options.at_least, "Fail if the last seq is lower");
  app.add_flag("--immutable", options.immutable,
               "Touch nothing: no locks, no -wal, no -shm (for a copy at rest)");
  app.add_flag("--json", options.json, "One JSON object instead of key=value lines");
  app.set_version_flag("--version", sqlite3_libversion(), "The version of its SQLite");
  app.parse(argc, argv);
  return options;
}

void CheckIntegrity(Database& db, std::vector<std::string>& problems) {
  Statement check(db.get(), "PRAGMA integrity_check");
  int code = SQLITE_OK;
  while ((code = check.Step()) == SQLITE_ROW) {
    if (check.Text(0) != "ok") problems.push_back("integrity_check: " + check.Text(0));
  }
  if (code != SQLITE_DONE) problems.push_back("integrity_check: " + db.Message());
  // SQLCipher's own, of each page in the file; of any other SQLite it gets no answer.
  Statement cipher(db.get(), "PRAGMA cipher_integrity_check");
  while ((code = cipher.Step()) == SQLITE_ROW) {
    problems.push_back("cipher_integrity_check: " + cipher.Text(0));
  }
  if (code != SQLITE_DONE) problems.push_back("cipher_integrity_check: " + db.Message());
}

void CheckAcknowledged(const std::string& path, const LedgerCheck& ledger,
                       std::vector<std::string>& problems) {
  std::ifstream file(path);
  if (!file) Die("cannot read " + path);
  std::string line;
  while (std::getline(file, line)) {
    std::int64_t seq = 0;
    std::uint64_t checksum = 0;
    const char* end = line.data() + line.size();
    const auto first = std::from_chars(line.data(), end, seq);
    if (first.ec != std::errc{} || first.ptr == end) continue;  // cut off by a kill
    const auto second = std::from_chars(first.ptr + 1, end, checksum, 16);
    if (second.ec != std::errc{} || second.ptr - first.ptr != 17) continue;
    if (seq > ledger.last.seq) continue;
    const auto found = ledger.checksums.find(seq);
    if (found == ledger.checksums.end() || found->second != checksum) {
      problems.push_back(fmt::format("seq {} is not the commit that was acknowledged", seq));
      return;
    }
  }
}

void PrintText(const LedgerCheck& ledger, Database& db) {
  fmt::print("last_seq={}\n", ledger.last.seq);
  fmt::print("checksum={:016x}\n", ledger.last.checksum);
  for (const auto& [table, count] : RowCounts(db)) fmt::print("rows.{}={}\n", table, count);
  fmt::print("content={:016x}\n", ContentHash(db));
}

void PrintJson(const LedgerCheck& ledger, Database& db, bool ok) {
  std::string rows;
  for (const auto& [table, count] : RowCounts(db)) {
    rows += fmt::format("{}\"{}\":{}", rows.empty() ? "" : ",", table, count);
  }
  fmt::print(R"({{"ok":{},"last_seq":{},"checksum":"{:016x}","rows":{{{}}},"content":"{:016x}"}})"
             "\n",
             ok, ledger.last.seq, ledger.last.checksum, rows, ContentHash(db));
}

int Run(const Options& options) {
  Database db;
  const std::string name =
      options.immutable ? "file:" + options.database + "?immutable=1" : options.database;
  const int flags =
      options.immutable ? SQLITE_OPEN_READONLY | SQLITE_OPEN_URI : SQLITE_OPEN_READWRITE;
  if (db.Open(name, flags, options.first_words) != SQLITE_OK)
    Die(options.database + ": " + db.Message());
  sqlite3_busy_timeout(db.get(), 10000);

  // One read transaction for everything that is looked at.
  if (db.Execute("BEGIN; SELECT count(*) FROM sqlite_schema") != SQLITE_OK) {
    Die(options.database + ": " + db.Message());
  }
  std::vector<std::string> problems;
  CheckIntegrity(db, problems);
  LedgerCheck ledger = CheckLedger(db);
  problems.insert(problems.end(), ledger.problems.begin(), ledger.problems.end());
  if (!options.acknowledged.empty()) CheckAcknowledged(options.acknowledged, ledger, problems);
  if (ledger.last.seq < options.at_least) {
    problems.push_back(
        fmt::format("last seq is {}, expected {} or more", ledger.last.seq, options.at_least));
  }
  for (const std::string& problem : problems) fmt::print(stderr, "app_check: {}\n", problem);
  if (options.json) {
    PrintJson(ledger, db, problems.empty());
  } else {
    PrintText(ledger, db);
  }
  return problems.empty() ? 0 : 1;
}

}  // namespace
}  // namespace runnel::apps

int main(int argc, char** argv) {
  CLI::App app;
  try {
    return runnel::apps::Run(runnel::apps::ParseOptions(argc, argv, app));
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
}
