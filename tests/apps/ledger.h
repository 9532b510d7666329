// How a copy of a test database proves which commit it stands at.
//
// Each transaction of app_writer appends one row to the table `ledger`: its number `seq` (1, 2,
// ..), the writer, a `digest` of the content of all data tables after it, and a `checksum` chained
// over all rows before. So a copy that passes CheckLedger() is exactly the state after commit
// `seq`: the digest rules out a page too old or too new, the chain a lost or swapped commit.

#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "apps/database.h"

namespace runnel::apps {

inline constexpr int kTableCount = 4;  // t0..t3: (id INTEGER PRIMARY KEY, k INTEGER, body BLOB)

struct LedgerRow {
  std::int64_t seq = 0;  // 0: before the first commit
  std::int64_t writer = 0;
  std::uint64_t digest = 0;
  std::uint64_t checksum = 0;
};

// What one data row adds to the digest: the digest is their sum mod 2^64.
std::uint64_t RowHash(int table, std::int64_t id, std::int64_t k,
                      std::span<const unsigned char> body);

// `row` as it has to follow `previous`.
LedgerRow NextRow(const LedgerRow& previous, std::int64_t writer, std::uint64_t digest);

int CreateSchema(Database& db);

// Within a transaction: the newest row, seq 0 if there is none.
int ReadLastRow(Database& db, LedgerRow& row);

struct LedgerCheck {
  std::vector<std::string> problems;  // empty: the database is a proven state
  LedgerRow last;
  std::map<std::int64_t, std::uint64_t> checksums;  // by seq
};
LedgerCheck CheckLedger(Database& db);

// One number for everything in the database, schema included, however it is laid out in pages.
std::uint64_t ContentHash(Database& db);

std::map<std::string, std::int64_t> RowCounts(Database& db);

}  // namespace runnel::apps
