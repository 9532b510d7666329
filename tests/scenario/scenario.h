// Twenty commits of an application, replicated and restored: the whole way from its WAL to a copy,
// every call of it under the hand of the test, on one thread and by a manual clock, so that a run
// makes the same calls each time.
//
//   application    SQLite on a real file, in this process
//   daemon         capture::Database and replicate::ReplicaSet; its SQLite on a FaultVfs, its files
//                  on a FaultFileSystem (the state in memory, the database on the disk), its
//                  replica in a memory store behind a FaultStore
//
// On the way are: checkpoints, compactions, snapshots, retention, a daemon that ends and one that
// dies, a WAL that restarts while there is none.

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "capture/database.h"
#include "fs/posix_file_system.h"
#include "replicate/capture_source.h"
#include "replicate/replica_set.h"
#include "scenario/fault_vfs.h"
#include "scenario/two_disks.h"
#include "store/memory_store.h"
#include "testing/capturing_logger.h"
#include "testing/fault_file_system.h"
#include "testing/fault_store.h"
#include "testing/live_database.h"
#include "testing/manual_clock.h"
#include "testing/manual_scheduler.h"
#include "testing/memory_file_system.h"
#include "testing/seeded_random.h"
#include "testing/temp_dir.h"

namespace runnel::scenario {

class Scenario {
 public:
  explicit Scenario(int commits = 20);
  ~Scenario();
  Scenario(const Scenario&) = delete;
  Scenario& operator=(const Scenario&) = delete;

  // Fails the test if at any moment
  //   - the application is refused anything,
  //   - the replica holds an object that is not whole, or cannot be restored,
  //   - the copy is not a state that a commit left, or an older one than before, or than what was
  //     reported durable.
  void Run();

  // The machine loses power at the end of the step in which a call failed.
  void LosePowerAfterFailure() { lose_power_ = true; }

  // All faults are healed, and nobody does anything. Fails the test if the daemon does not come
  // back, by itself, to a copy that is equal to the live database, and goes on from there.
  void ExpectRecovers();

  // What happened: to be printed when a test fails.
  std::string Story() const;

  testing::SeededRandom random{1};
  testing::ManualClock clock;
  testing::MemoryFileSystem state_disk{clock};

 private:
  fs::PosixFileSystem disk_;
  TwoDisks disks_{disk_, state_disk, "/state"};
  store::MemoryStore replica_{clock};

 public:
  testing::FaultFileSystem files{disks_};
  testing::FaultStore store{replica_, clock};
  FaultVfs vfs{"fault"};

 private:
  class Daemon;

  void Prepare();
  void Commit(int number);
  void StepOf(int number);
  void StopDaemon();
  void KillDaemon();
  bool StartDaemon();
  std::uint64_t FailureCount() const;
  void Heal();
  Bytes LiveContent();
  // What the replica holds, if it has changed, is put together and compared with what is known.
  void Check();
  void ExpectWhole(const store::ObjectInfo& object);
  // The same by a real restore.
  void CheckRestore();
  void CheckCopy(const Bytes& copy, Txid txid);
  void ExpectReplicaIsWhole();

  const int commits_;
  const testing::TempDir directory_;
  const fs::Path path_ = directory_.path() / "app.db";
  const store::ReplicaLayout layout_{store::LayoutKind::kTree, "db"};
  testing::CapturingLogger log_;
  testing::ManualScheduler scheduler_{clock};
  std::unique_ptr<testing::App> app_;
  std::unique_ptr<Daemon> daemon_;
  bool lose_power_ = false;

  std::vector<Bytes> states_;       // after each commit
  std::size_t restored_state_ = 0;  // the newest that was restored
  Txid durable_{};                  // the newest that was reported
  Txid restored_txid_{};            // the last that was restored
  std::set<std::string> whole_;     // the objects that were there, and whole, at the last check
};

}  // namespace runnel::scenario
