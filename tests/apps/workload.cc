#include "apps/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>
#include <utility>

namespace runnel::apps {
namespace {

constexpr int kOpenFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;

int Primary(int code) { return code & 0xff; }

}  // namespace

std::uint64_t Generator::Next() {
  state_ += 0x9e3779b97f4a7c15ULL;
  std::uint64_t x = state_;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

bool ParseChaos(const std::string& text, Chaos& chaos) {
  const std::pair<const char*, bool Chaos::*> fields[] = {
      {"rollback", &Chaos::rollback},
      {"savepoint", &Chaos::savepoint},
      {"spill", &Chaos::spill},
      {"schema", &Chaos::schema},
      {"vacuum", &Chaos::vacuum},
      {"checkpoint", &Chaos::checkpoint},
      {"autocheckpoint", &Chaos::autocheckpoint},
      {"journal-mode", &Chaos::journal_mode},
      {"reopen", &Chaos::reopen},
      {"reader", &Chaos::reader},
  };
  std::istringstream names(text);
  std::string name;
  while (std::getline(names, name, ',')) {
    bool known = false;
    for (const auto& [field_name, field] : fields) {
      if (name != "all" && name != field_name) continue;
      chaos.*field = true;
      known = true;
    }
    if (!known) return false;
  }
  return true;
}

Workload::Workload(WorkloadOptions options, std::function<void(const LedgerRow&)> acknowledge)
    : options_(std::move(options)),
      acknowledge_(std::move(acknowledge)),
      random_(options_.seed * 1000003 + static_cast<std::uint64_t>(options_.writer)) {}

void Workload::Open() {
  if (db_.Open(options_.database, kOpenFlags, options_.first_words) != SQLITE_OK) {
    Die(options_.database + ": " + db_.Message());
  }
  // Others may be setting it up, or recovering, at the same time.
  sqlite3_busy_timeout(db_.get(), std::max(options_.busy_timeout_ms, 10000));
  db_.Execute(fmt::format("PRAGMA page_size={}", options_.page_size));
  db_.Execute(fmt::format("PRAGMA auto_vacuum={}", options_.auto_vacuum));
  int code = SQLITE_OK;
  const std::string mode = db_.Query("PRAGMA journal_mode=WAL", &code);
  if (mode != "wal") Die(options_.database + ": no WAL mode: " + db_.Message());
  if (CreateSchema(db_) != SQLITE_OK) Die(options_.database + ": schema: " + db_.Message());
  Configure();
}

void Workload::Configure() {
  sqlite3_busy_timeout(db_.get(), options_.busy_timeout_ms);
  sqlite3_wal_autocheckpoint(db_.get(), options_.autocheckpoint);
  db_.Execute("PRAGMA synchronous=" + options_.synchronous);
  if (options_.cache_pages > 0) {
    db_.Execute(fmt::format("PRAGMA cache_size={}", options_.cache_pages));
  }
}

void Workload::Step() {
  if (reader_steps_left_ > 0 && --reader_steps_left_ == 0) reader_.Close();
  const Chaos& chaos = options_.chaos;
  if (random_.OneIn(20)) Disturb();
  const bool spill = chaos.spill && random_.OneIn(30);
  const int rows =
      spill ? 200
            : 1 + static_cast<int>(random_.Below(static_cast<std::uint64_t>(options_.rows_max)));
  if (spill) db_.Execute("PRAGMA cache_size=5");
  const End end = chaos.rollback && random_.OneIn(10) ? End::kRollback : End::kCommit;
  Count(Transaction(rows, end));
  if (spill) {
    db_.Execute(fmt::format("PRAGMA cache_size={}",
                            options_.cache_pages > 0 ? options_.cache_pages : -2000));
  }
}

int Workload::Transaction(int rows, End end) {
  // IMMEDIATE, so that nobody else appends to the ledger between our look at it and our row.
  int code = db_.Execute("BEGIN IMMEDIATE");
  if (code != SQLITE_OK) return code;
  LedgerRow last;
  code = ReadLastRow(db_, last);
  std::uint64_t digest = last.digest;
  if (code == SQLITE_OK) code = Apply(rows, digest);
  if (code == SQLITE_OK && options_.chaos.savepoint && random_.OneIn(5)) {
    code = ApplyInSavepoint(rows, digest);
  }
  const LedgerRow row = NextRow(last, options_.writer, digest);
  if (code == SQLITE_OK) {
    Statement append(db_.get(), "INSERT INTO ledger VALUES(?, ?, ?, ?)");
    code = append.Bind(1, row.seq)
               .Bind(2, row.writer)
               .Bind(3, static_cast<std::int64_t>(row.digest))
               .Bind(4, static_cast<std::int64_t>(row.checksum))
               .Run();
  }
  if (code == SQLITE_OK && end == End::kCommit) code = db_.Execute("COMMIT");
  if (code == SQLITE_OK && end == End::kCommit) {
    ++counts_.committed;
    acknowledge_(row);
    return SQLITE_OK;
  }
  db_.Execute("ROLLBACK");
  ++counts_.rolled_back;
  return code;
}

int Workload::Apply(int rows, std::uint64_t& digest) {
  for (int i = 0; i < rows; ++i) {
    const int code = ChangeRow(digest);
    if (code != SQLITE_OK) return code;
  }
  return SQLITE_OK;
}

int Workload::ApplyInSavepoint(int rows, std::uint64_t& digest) {
  int code = db_.Execute("SAVEPOINT inner_changes");
  if (code != SQLITE_OK) return code;
  std::uint64_t inner = digest;
  code = Apply(rows, inner);
  if (code != SQLITE_OK) return code;
  if (random_.OneIn(2)) {
    code = db_.Execute("ROLLBACK TO inner_changes");
  } else {
    digest = inner;
  }
  return code == SQLITE_OK ? db_.Execute("RELEASE inner_changes") : code;
}

// Replaces, makes or removes one row, and moves the digest along.
int Workload::ChangeRow(std::uint64_t& digest) {
  const int table = static_cast<int>(random_.Below(kTableCount));
  // A little more room than live rows: inserts and removals then balance near `live_rows`.
  const auto id = static_cast<std::int64_t>(
      1 + random_.Below(static_cast<std::uint64_t>(options_.live_rows) * 4 / 3));
  const bool remove = random_.OneIn(4);
  const auto k = static_cast<std::int64_t>(random_.Below(1000));
  const std::vector<unsigned char> body = remove ? std::vector<unsigned char>() : Body();

  Statement old(db_.get(), fmt::format("SELECT k, body FROM t{} WHERE id=?", table));
  int code = old.Bind(1, id).Step();
  if (code == SQLITE_ROW) digest -= RowHash(table, id, old.Int(0), old.Blob(1));
  if (code != SQLITE_ROW && code != SQLITE_DONE) return code;
  old.Reset();

  if (remove) {
    Statement erase(db_.get(), fmt::format("DELETE FROM t{} WHERE id=?", table));
    return erase.Bind(1, id).Run();
  }
  Statement put(db_.get(), fmt::format("REPLACE INTO t{}(id, k, body) VALUES(?, ?, ?)", table));
  code = put.Bind(1, id).Bind(2, k).Bind(3, body).Run();
  if (code == SQLITE_OK) digest += RowHash(table, id, k, body);
  return code;
}

// Mostly short, sometimes over many overflow pages.
std::vector<unsigned char> Workload::Body() {
  const auto longest = static_cast<std::uint64_t>(options_.body_max) * (random_.OneIn(40) ? 20 : 1);
  std::vector<unsigned char> body(random_.Below(longest + 1));
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < body.size(); ++i) {
    if (i % 8 == 0) bits = random_.Next();
    body[i] = static_cast<unsigned char>(bits >> (i % 8 * 8));
  }
  return body;
}

void Workload::Disturb() {
  const Chaos& chaos = options_.chaos;
  switch (random_.Below(8)) {
    case 0:
      if (chaos.schema) Count(ChangeSchema());
      break;
    case 1:
      if (chaos.vacuum && random_.OneIn(4)) Count(db_.Execute("VACUUM"));
      if (chaos.vacuum) Count(db_.Execute("PRAGMA incremental_vacuum(10)"));
      break;
    case 2:
    case 3:
      if (chaos.checkpoint) {
        // Another mode would wait for our own reader until the busy timeout.
        const auto modes = reader_.is_open() ? 1U : SQLITE_CHECKPOINT_TRUNCATE + 1U;
        const int mode = static_cast<int>(random_.Below(modes));
        Count(sqlite3_wal_checkpoint_v2(db_.get(), "main", mode, nullptr, nullptr));
      }
      break;
    case 4:
      if (chaos.journal_mode) Count(LeaveWalMode());
      break;
    case 5:
      if (chaos.reopen) Reopen();
      break;
    case 6:
      if (chaos.reader) HoldReader();
      break;
    case 7:
      if (chaos.autocheckpoint) {
        const int choices[] = {0, 1, 10, 100, 1000};
        sqlite3_wal_autocheckpoint(db_.get(), choices[random_.Below(std::size(choices))]);
      }
      break;
  }
}

int Workload::ChangeSchema() {
  switch (random_.Below(4)) {
    case 0: return db_.Execute("CREATE INDEX IF NOT EXISTS t1_k ON t1(k)");
    case 1: return db_.Execute("DROP INDEX IF EXISTS t1_k");
    case 2:
      // One statement: another writer may drop it between two.
      return db_.Execute("CREATE TABLE IF NOT EXISTS scratch AS SELECT id AS a, body AS b FROM t0");
    default: return db_.Execute("DROP TABLE IF EXISTS scratch");
  }
}

// Beside a daemon this has to fail; without one it works when nobody else is connected.
int Workload::LeaveWalMode() {
  int code = SQLITE_OK;
  const std::string mode = db_.Query("PRAGMA journal_mode=DELETE", &code);
  if (code == SQLITE_OK && mode != "wal") db_.Query("PRAGMA journal_mode=WAL", &code);
  return code;
}

void Workload::HoldReader() {
  if (reader_steps_left_ > 0) return;
  if (reader_.Open(options_.database, SQLITE_OPEN_READWRITE, options_.first_words) != SQLITE_OK)
    return;
  sqlite3_busy_timeout(reader_.get(), options_.busy_timeout_ms);
  Count(reader_.Execute("BEGIN; SELECT count(*) FROM ledger"));
  reader_steps_left_ = 1 + static_cast<int>(random_.Below(200));
}

void Workload::Reopen() {
  reader_.Close();
  reader_steps_left_ = 0;
  db_.Close();
  Open();
}

void Workload::Count(int code) {
  switch (Primary(code)) {
    case SQLITE_OK: return;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL: ++counts_.busy; return;
    case SQLITE_FULL:
    case SQLITE_IOERR: ++counts_.failed; return;
    default: Die(fmt::format("{}: SQLite says {}: {}", options_.database, code, db_.Message()));
  }
}

}  // namespace runnel::apps
