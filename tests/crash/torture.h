// One life of a database under capture, in rounds: applications and a daemon run beside each other
// and are killed, then everything is compared.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fs/posix_file_system.h"
#include "runtime/system_clock.h"
#include "testing/seeded_random.h"
#include "testing/temp_dir.h"
#include "tests/crash/process.h"
#include "tests/crash/staged_copy.h"

namespace runnel::tests {

struct TortureCounts {
  int rounds = 0;
  int application_kills = 0;
  int daemon_kills = 0;
  int prefixes_proved = 0;
  int new_chains = 0;
  std::uint64_t cuts = 0;
  std::int64_t commits = 0;  // acknowledged by the applications
};

class Torture {
 public:
  explicit Torture(std::uint64_t seed);
  ~Torture();

  // Fails the running test if anything does not hold.
  void Round();

  const TortureCounts& counts() const { return counts_; }

  // Everything as it lies there, for a look after a failure.
  std::string KeepFiles();

 private:
  // Beyond the rest of what applications do. With an old SQLite (3.40), a savepoint that is rolled
  // back in a transaction that has spilled leaves committed frames in the WAL whose salts and
  // checksums are zero: its readers do not mind, but a recovery, when all of them have died, drops
  // these commits and all after them, daemon or not. So what was acknowledged is no measure then;
  // that the cuts are the database is.
  enum class Savepoints : unsigned char { kNone, kAlone, kWithSpills };

  std::unique_ptr<Process> StartDaemon(const std::vector<std::string>& more);
  std::unique_ptr<Process> StartWriter(int writer);
  std::string Chaos();
  void RunAndKill();
  void Settle();
  void ApplyCuts();
  int CheckLedger(const std::string& copy, std::int64_t at_least);
  void ProvePrefix(Txid txid);
  void ExpectEqualToLive();
  std::int64_t LastAcknowledged() const;
  bool WriterMetDamage() const;

  std::uint64_t Below(std::uint64_t bound) { return random_.Below(bound); }
  template <class T>
  const T& OneOf(const std::vector<T>& choices) {
    return choices[Below(choices.size())];
  }
  void PauseUpTo(int milliseconds);
  std::string File(const std::string& name) const { return directory_.path() / name; }

  testing::SeededRandom random_;
  testing::TempDir directory_;
  runtime::SystemClock clock_;
  fs::PosixFileSystem files_;
  const std::string page_size_;
  const std::string auto_vacuum_;
  const Savepoints savepoints_;
  StagedCopy copy_;
  TortureCounts counts_;
};

}  // namespace runnel::tests
