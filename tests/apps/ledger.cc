#include "apps/ledger.h"

#include <fmt/format.h>

namespace runnel::apps {
namespace {

// FNV-1a with a final mix, so that sums of hashes do not cancel.
class Hash {
 public:
  Hash& Add(std::span<const unsigned char> bytes) {
    for (const unsigned char byte : bytes) state_ = (state_ ^ byte) * 0x100000001b3ULL;
    return *this;
  }
  Hash& Add(std::uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) {
      state_ = (state_ ^ ((value >> shift) & 0xff)) * 0x100000001b3ULL;
    }
    return *this;
  }
  Hash& Add(std::string_view text) {
    return Add(text.size()).Add({reinterpret_cast<const unsigned char*>(text.data()), text.size()});
  }
  std::uint64_t Finish() const {
    std::uint64_t x = state_;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
  }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325ULL;
};

std::vector<std::string> TableNames(Database& db) {
  std::vector<std::string> names;
  Statement list(db.get(), "SELECT name FROM sqlite_schema WHERE type='table' ORDER BY name");
  while (list.Step() == SQLITE_ROW) names.push_back(list.Text(0));
  return names;
}

void CheckRows(Database& db, LedgerCheck& check) {
  Statement rows(db.get(), "SELECT seq, writer, digest, checksum FROM ledger ORDER BY seq");
  int code = SQLITE_OK;
  while ((code = rows.Step()) == SQLITE_ROW) {
    const LedgerRow row{.seq = rows.Int(0),
                        .writer = rows.Int(1),
                        .digest = static_cast<std::uint64_t>(rows.Int(2)),
                        .checksum = static_cast<std::uint64_t>(rows.Int(3))};
    const LedgerRow expected = NextRow(check.last, row.writer, row.digest);
    if (row.seq != expected.seq) {
      check.problems.push_back(fmt::format("ledger: seq {} follows {}", row.seq, check.last.seq));
      return;
    }
    if (row.checksum != expected.checksum) {
      check.problems.push_back(fmt::format("ledger: checksum chain broken at seq {}", row.seq));
      return;
    }
    check.checksums.emplace(row.seq, row.checksum);
    check.last = row;
  }
  if (code != SQLITE_DONE) check.problems.push_back("ledger: " + db.Message());
}

void CheckDigest(Database& db, LedgerCheck& check) {
  std::uint64_t digest = 0;
  for (int table = 0; table < kTableCount; ++table) {
    Statement rows(db.get(), fmt::format("SELECT id, k, body FROM t{}", table));
    int code = SQLITE_OK;
    while ((code = rows.Step()) == SQLITE_ROW) {
      digest += RowHash(table, rows.Int(0), rows.Int(1), rows.Blob(2));
    }
    if (code != SQLITE_DONE) {
      check.problems.push_back(fmt::format("t{}: {}", table, db.Message()));
      return;
    }
  }
  if (digest != check.last.digest) {
    check.problems.push_back(fmt::format("content: digest {:016x} is not that of seq {}, {:016x}",
                                         digest, check.last.seq, check.last.digest));
  }
}

}  // namespace

std::uint64_t RowHash(int table, std::int64_t id, std::int64_t k,
                      std::span<const unsigned char> body) {
  return Hash()
      .Add(static_cast<std::uint64_t>(table))
      .Add(static_cast<std::uint64_t>(id))
      .Add(static_cast<std::uint64_t>(k))
      .Add(body)
      .Finish();
}

LedgerRow NextRow(const LedgerRow& previous, std::int64_t writer, std::uint64_t digest) {
  const std::int64_t seq = previous.seq + 1;
  const std::uint64_t checksum = Hash()
                                     .Add(previous.checksum)
                                     .Add(static_cast<std::uint64_t>(seq))
                                     .Add(static_cast<std::uint64_t>(writer))
                                     .Add(digest)
                                     .Finish();
  return {.seq = seq, .writer = writer, .digest = digest, .checksum = checksum};
}

int CreateSchema(Database& db) {
  std::string sql = "BEGIN IMMEDIATE;";
  for (int table = 0; table < kTableCount; ++table) {
    sql += fmt::format(
        "CREATE TABLE IF NOT EXISTS t{}(id INTEGER PRIMARY KEY, k INTEGER, body BLOB);", table);
  }
  sql +=
      "CREATE INDEX IF NOT EXISTS t0_k ON t0(k);"
      "CREATE TABLE IF NOT EXISTS ledger(seq INTEGER PRIMARY KEY, writer INTEGER NOT NULL,"
      " digest INTEGER NOT NULL, checksum INTEGER NOT NULL);"
      "COMMIT;";
  const int code = db.Execute(sql);
  if (code != SQLITE_OK) db.Execute("ROLLBACK");
  return code;
}

int ReadLastRow(Database& db, LedgerRow& row) {
  Statement last(db.get(),
                 "SELECT seq, writer, digest, checksum FROM ledger ORDER BY seq DESC LIMIT 1");
  const int code = last.Step();
  if (code == SQLITE_DONE) {
    row = {};
    return SQLITE_OK;
  }
  if (code != SQLITE_ROW) return code;
  row = {.seq = last.Int(0),
         .writer = last.Int(1),
         .digest = static_cast<std::uint64_t>(last.Int(2)),
         .checksum = static_cast<std::uint64_t>(last.Int(3))};
  return SQLITE_OK;
}

LedgerCheck CheckLedger(Database& db) {
  LedgerCheck check;
  CheckRows(db, check);
  if (check.problems.empty()) CheckDigest(db, check);
  return check;
}

std::uint64_t ContentHash(Database& db) {
  Hash hash;
  Statement schema(db.get(),
                   "SELECT type, name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name");
  while (schema.Step() == SQLITE_ROW) {
    hash.Add(schema.Text(0)).Add(schema.Text(1)).Add(schema.Text(2));
  }
  for (const std::string& table : TableNames(db)) {
    Statement rows(db.get(), fmt::format("SELECT * FROM \"{}\" ORDER BY rowid", table));
    while (rows.Step() == SQLITE_ROW) {
      for (int column = 0; column < rows.column_count(); ++column) {
        const auto blob = rows.Blob(column);
        hash.Add(static_cast<std::uint64_t>(rows.Type(column))).Add(blob.size()).Add(blob);
      }
    }
  }
  return hash.Finish();
}

std::map<std::string, std::int64_t> RowCounts(Database& db) {
  std::map<std::string, std::int64_t> counts;
  for (const std::string& table : TableNames(db)) {
    Statement count(db.get(), fmt::format("SELECT count(*) FROM \"{}\"", table));
    counts[table] = count.Step() == SQLITE_ROW ? count.Int(0) : -1;
  }
  return counts;
}

}  // namespace runnel::apps
