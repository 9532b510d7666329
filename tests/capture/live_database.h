// A real database with an application on it, under capture by a Database on manual time.

#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <memory>
#include <string>

#include "capture/database.h"
#include "fs/posix_file_system.h"
#include "sqlite/open_registry.h"
#include "testing/capturing_logger.h"
#include "testing/fault_file_system.h"
#include "testing/manual_clock.h"
#include "testing/manual_scheduler.h"
#include "testing/temp_dir.h"

namespace runnel::tests {

// An application's connection. Fails the test on any error, unless told what to expect.
class App {
 public:
  explicit App(const fs::Path& path);
  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  void Run(const std::string& sql);
  int TryRun(const std::string& sql);  // SQLite's result code
  std::int64_t Number(const std::string& sql);
  sqlite3* handle() { return db_; }

 private:
  sqlite3* db_ = nullptr;
};

class LiveDatabaseTest : public ::testing::Test, public capture::DatabaseObserver {
 protected:
  LiveDatabaseTest();
  ~LiveDatabaseTest() override;

  // The daemon's side. Restart() is a clean stop and start, Crash() forgets everything in memory.
  void StartCapture();
  Result<void> StopCapture();
  void Crash();
  capture::Database& database() { return *database_; }

  // The application wrote: notify, and let time pass until nothing is left to do.
  void Settle(std::chrono::milliseconds time = std::chrono::milliseconds(1500));

  // Applies every staged cut up to `last` to an empty database, or to `file`, and returns what it
  // makes.
  Bytes Materialize(Txid last = Txid{~0ULL}, Bytes file = {}, Txid from = {});

  // The staged cuts together are exactly the database that the application sees.
  void ExpectStagedEqualsLive();
  void ExpectEqualsLive(ByteView copy);

  // Every call of the kind fails that changes a file whose path has `part` in it.
  void FailWrites(std::string part, testing::FileFault fault);

  void OnCut(Txid newest) override { newest_cut_ = newest; }
  void OnStatus() override {}

  testing::TempDir directory_;
  fs::Path path_;
  capture::DatabaseOptions options_;
  fs::PosixFileSystem posix_;
  testing::FaultFileSystem fs_{posix_};
  testing::ManualClock clock_;
  testing::CapturingLogger log_;
  std::unique_ptr<sqlite::OpenRegistry> registry_;
  std::unique_ptr<testing::ManualScheduler> scheduler_;
  std::unique_ptr<capture::Database> database_;
  Txid newest_cut_{};
};

}  // namespace runnel::tests
