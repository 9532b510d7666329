#include "sqlite/integrity.h"

#include <sqlite3.h>

#include <memory>
#include <string>

namespace runnel::sqlite {
namespace {

struct CloseDatabase {
  void operator()(sqlite3* db) const { sqlite3_close(db); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

// The path as the path part of a URI.
std::string EscapeUriPath(const std::string& path) {
  std::string escaped;
  for (const char c : path) {
    constexpr std::string_view kHex = "0123456789ABCDEF";
    if (c == '%' || c == '?' || c == '#') {
      escaped += '%';
      escaped += kHex[static_cast<unsigned char>(c) >> 4];
      escaped += kHex[static_cast<unsigned char>(c) & 0xF];
    } else {
      escaped += c;
    }
  }
  return escaped;
}

}  // namespace

Result<void> CheckIntegrity(const fs::Path& path, IntegrityCheck check) {
  // Immutable: no lock, no -wal and no -shm are made beside the file.
  const std::string uri = "file:" + EscapeUriPath(path.string()) + "?immutable=1";
  sqlite3* opened = nullptr;
  const int open_code =
      sqlite3_open_v2(uri.c_str(), &opened, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, nullptr);
  const std::unique_ptr<sqlite3, CloseDatabase> db(opened);
  if (open_code != SQLITE_OK) {
    return Fail(Errc::kIo, path.string() + ": cannot be opened: " + sqlite3_errstr(open_code));
  }
  const char* sql =
      check == IntegrityCheck::kQuick ? "PRAGMA quick_check(1)" : "PRAGMA integrity_check(1)";
  sqlite3_stmt* prepared = nullptr;
  const int prepare_code = sqlite3_prepare_v2(db.get(), sql, -1, &prepared, nullptr);
  const std::unique_ptr<sqlite3_stmt, FinalizeStatement> statement(prepared);
  const int step_code = prepare_code == SQLITE_OK ? sqlite3_step(prepared) : prepare_code;
  if (step_code != SQLITE_ROW) {
    return Fail(Errc::kCorruption, path.string() + ": " + sqlite3_errmsg(db.get()));
  }
  const std::string first(reinterpret_cast<const char*>(sqlite3_column_text(prepared, 0)));
  if (first != "ok") return Fail(Errc::kCorruption, path.string() + ": " + first);
  return {};
}

}  // namespace runnel::sqlite
