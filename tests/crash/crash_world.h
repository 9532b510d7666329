// A database, applications that write to it, and a daemon that replicates it: real programs in
// processes of their own, which are killed at instants that a seed chooses.
//
// What is proved after each kill, of every replica:
//
//   (1) Its copy is exactly the state after some commit, gapless from the first (app_check), and
//       each commit in it is the one that was acknowledged under its number.
//   (2) It never goes back: what could be restored once can be restored ever after.
//   (3) It holds everything that was acknowledged before a daemon was asked to end, once that one
//       ends with status 0.
//   (4) Left alone, a daemon that was killed in whatever state makes it equal to the database.
//
// Instants are real time: the same seed gives the same applications and plan, not the same run.

#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "integration/program.h"
#include "runtime/system_clock.h"
#include "testing/seeded_random.h"
#include "testing/temp_dir.h"

namespace runnel::crash {

struct Counts {
  int rounds = 0;
  int daemon_kills = 0;
  int writer_kills = 0;
  int daemon_stops = 0;  // SIGTERM, and -once
  int settlements = 0;
  int restores = 0;
  std::int64_t commits = 0;  // that the last copy held
};

class CrashWorld {
 public:
  explicit CrashWorld(std::uint64_t seed);
  ~CrashWorld();
  CrashWorld(const CrashWorld&) = delete;
  CrashWorld& operator=(const CrashWorld&) = delete;

  // Both work for a while, one or both of them end, and what there is is proved.
  void Round();

  // The last: as (4), and every object of the replicas is whole.
  void Finish();

  const Counts& counts() const { return counts_; }

  // For a look after a failure: what app_check says of the live database, the end of the log, and
  // where everything is kept as it lies there.
  std::string Autopsy();

 private:
  using Arguments = std::vector<std::string>;
  using Program = integration::Program;

  struct Replica {
    std::string url;
    std::int64_t floor = 0;  // the newest commit that it ever gave back
  };

  // The daemon's moods, and the application's.
  void WriteConfig();
  void ChooseWriter();
  std::string Chaos();

  void StartDaemon();
  void StartWriters();
  void KillDaemon();
  void KillWriters();
  bool WriterWasLockedOut() const;
  void StopDaemon();
  void RunOnce();
  void Settle();

  static bool IsBeforeTheLedger(const Replica& replica, const std::string& output);
  void Prove(Replica& replica);
  void ProveAll();
  void ProveLive();
  // Of a restore: whether there is a copy. An empty replica gives none.
  bool Restore(const Replica& replica);
  // What app_check says, on all that it prints.
  int Check(const std::filesystem::path& database, std::int64_t at_least, std::string& output);

  // The newest commit that an application was told of.
  std::int64_t Acknowledged() const;
  void RaiseFloors(std::int64_t seq);

  Program Run(Arguments arguments) const;
  void Wait(int max_ms);
  std::uint64_t Below(std::uint64_t bound) { return random_.Below(bound); }
  template <class T>
  T OneOf(std::initializer_list<T> choices) {
    return choices.begin()[Below(choices.size())];
  }

  testing::SeededRandom random_;
  runtime::SystemClock clock_;
  const testing::TempDir directory_;
  const std::filesystem::path database_ = directory_.path() / "app.db";
  const std::filesystem::path copy_ = directory_.path() / "copy.db";
  const std::filesystem::path config_ = directory_.path() / "runnel.yml";
  const std::filesystem::path log_ = directory_.path() / "log";
  const std::filesystem::path acknowledged_ = directory_.path() / "acknowledged";
  // Transactions are larger than the cache, or have savepoints. Not both: a savepoint that is
  // rolled back after frames were spilled makes SQLite 3.40 lose that commit when the WAL is
  // recovered, which it is after a kill, replicated or not.
  const bool spills_;
  std::vector<Replica> replicas_;
  Arguments writer_;  // what all writers of this world have in common
  int writers_started_ = 0;
  std::unique_ptr<Program> daemon_;
  std::vector<std::unique_ptr<Program>> writers_;
  Counts counts_;
};

}  // namespace runnel::crash
