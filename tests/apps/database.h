// A thin hold on an SQLite database, for the applications of the tests. Result codes are SQLite's
// own: an application that meets SQLITE_BUSY is part of what is tested.

#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace runnel::apps {

// Prints "<program>: <message>" and ends the process.
[[noreturn]] void Die(const std::string& message);

class Statement {
 public:
  Statement(sqlite3* db, std::string_view sql);  // an error is kept for Step()

  Statement& Bind(int index, std::int64_t value);
  Statement& Bind(int index, std::span<const unsigned char> blob);  // outlives the next Step()

  int Step();  // SQLITE_ROW, SQLITE_DONE, or an error
  int Run();   // Step() and Reset(); SQLITE_OK instead of SQLITE_ROW and SQLITE_DONE
  void Reset();

  std::int64_t Int(int column) const;
  std::string Text(int column) const;
  std::span<const unsigned char> Blob(int column) const;  // until the next Step() or Reset()
  int column_count() const;
  int Type(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int prepare_code_ = SQLITE_OK;
};

class Database {
 public:
  Database() = default;

  // `first_words`: SQL to begin with.
  int Open(const std::string& path, int flags, const std::string& first_words = "");
  void Close() { db_.reset(); }
  bool is_open() const { return db_ != nullptr; }

  int Execute(const std::string& sql);
  // The first column of the first row, "" if there is none; `code` gets the result code.
  std::string Query(const std::string& sql, int* code = nullptr);

  sqlite3* get() const { return db_.get(); }
  std::string Message() const { return sqlite3_errmsg(db_.get()); }

 private:
  struct CloseHandle {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  };
  std::unique_ptr<sqlite3, CloseHandle> db_;
};

}  // namespace runnel::apps
