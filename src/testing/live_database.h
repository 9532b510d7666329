// For tests with a live database: an application in this process, and a look at who holds which
// lock.

#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "fs/posix_file_system.h"
#include "sqlite/connection.h"
#include "sqlite/open_registry.h"
#include "testing/result_matchers.h"
#include "testing/temp_dir.h"

namespace runnel::testing {

class App {
 public:
  explicit App(const fs::Path& path) {
    EXPECT_EQ(
        sqlite3_open_v2(path.c_str(), &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr),
        SQLITE_OK);
    sqlite3_extended_result_codes(db_, 1);
  }
  ~App() { sqlite3_close(db_); }
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  int Try(const std::string& sql) {
    return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  }
  void Run(const std::string& sql) {
    EXPECT_EQ(Try(sql), SQLITE_OK) << sql << ": " << sqlite3_errmsg(db_);
  }
  std::string Get(const std::string& sql) {
    std::string value;
    sqlite3_exec(
        db_, sql.c_str(),
        [](void* out, int, char** values, char**) {
          if (values[0] != nullptr) *static_cast<std::string*>(out) = values[0];
          return 0;
        },
        &value, nullptr);
    return value;
  }
  sqlite3* handle() { return db_; }
  void LeaveWalOnClose() { sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr); }

 private:
  sqlite3* db_ = nullptr;
};

// A directory, a registry, and a database in WAL mode with one table and nothing in its WAL.
class LiveDatabaseTest : public ::testing::Test {
 protected:
  LiveDatabaseTest() {
    App app(path_);
    app.Run("PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES(1)");
  }

  std::unique_ptr<sqlite::Connection> Open() {
    auto connection = registry_.Open(path_);
    EXPECT_TRUE(IsOk(connection));
    return std::move(connection).value();
  }

  const TempDir directory_;
  const fs::Path path_ = directory_.path() / "app.db";
  fs::PosixFileSystem file_system_;
  sqlite::OpenRegistry registry_{file_system_};
};

// The read slots that anybody holds, found by trying to lock each through `idle`, which had a
// transaction once and has none now.
inline std::set<int> HeldSlots(sqlite::Connection& idle) {
  std::set<int> held;
  sqlite3_file* file = idle.wal_index_file();
  for (int slot = 0; slot < 5; ++slot) {
    const int rc =
        file->pMethods->xShmLock(file, 3 + slot, 1, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE);
    if (rc == SQLITE_OK) {
      file->pMethods->xShmLock(file, 3 + slot, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
    } else {
      held.insert(slot);
    }
  }
  return held;
}

// How many POSIX locks this process has on the file, by the kernel's account.
inline int LocksOn(const fs::Path& path) {
  struct stat st{};
  EXPECT_EQ(stat(path.c_str(), &st), 0);
  const std::string inode = ":" + std::to_string(st.st_ino) + " ";
  const std::string pid = " " + std::to_string(getpid()) + " ";
  std::ifstream locks("/proc/locks");
  int count = 0;
  for (std::string line; std::getline(locks, line);) {
    if (line.find("POSIX") != std::string::npos && line.find(inode) != std::string::npos &&
        line.find(pid) != std::string::npos) {
      ++count;
    }
  }
  return count;
}

// How many descriptors of the file this process has open.
inline int DescriptorsOf(const fs::Path& path) {
  struct stat wanted{};
  if (stat(path.c_str(), &wanted) != 0) return 0;
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    struct stat st{};
    const bool same = stat(entry.path().c_str(), &st) == 0 && st.st_dev == wanted.st_dev &&
                      st.st_ino == wanted.st_ino;
    if (same) ++count;
  }
  return count;
}

}  // namespace runnel::testing
