// A VFS of SQLite that fails when the test says so; otherwise it does what the default one does,
// but that nothing is synced: no power is lost here.
//
// Calls that may fail in real life are counted from 1: opening, reading, writing, truncating,
// syncing, sizes, taking a lock, mapping more shared memory, looking for and deleting a file.
// Giving a lock back never fails.

#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "testing/fault_file_system.h"

namespace runnel::scenario {

// One thread. Connections that were opened with it must not outlive it.
class FaultVfs {
 public:
  using Duration = testing::FileFault::Duration;

  explicit FaultVfs(std::string name);
  ~FaultVfs();
  FaultVfs(const FaultVfs&) = delete;
  FaultVfs& operator=(const FaultVfs&) = delete;

  const std::string& name() const { return name_; }

  // Fails the n-th call from now on; the count starts anew.
  void FailAt(std::uint64_t n, Duration duration);
  // No more failures; the count starts anew.
  void Heal() { FailAt(0, Duration::kOnce); }

  std::uint64_t call_count() const { return call_count_; }
  std::uint64_t failure_count() const { return failure_count_; }

  // The newest calls, one a line, failures marked.
  std::string RecentCalls() const;

  // For the methods: counts a call; whether it fails.
  bool Fails(std::string_view call, const char* file);

 private:
  const std::string name_;
  sqlite3_vfs vfs_;
  std::uint64_t call_count_ = 0;
  std::uint64_t failure_count_ = 0;
  std::uint64_t fail_at_ = 0;  // 0: never
  Duration duration_ = Duration::kOnce;
  std::deque<std::string> recent_;
};

}  // namespace runnel::scenario
