// Who may write to a replica (docs/formats/store-layout.md, "The claim").
//
// A claim is not a lock: nothing keeps the previous holder from writing, it only finds out. What
// keeps it from harm is that each L0 object is created, never replaced, so that of two writers one
// meets the other's object; the claim then says which of the two is to stop.
//
//   (1) Epochs only grow. Of two daemons that take the claim at once, one gets the higher epoch.
//   (2) Check() tells a holder that it is no longer one. No clock decides anything.
//   (3) On a store without conditional writes both are best effort: a claim written in the same
//       moment by another daemon may be lost.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "store/layout.h"
#include "store/object_store.h"

namespace runnel::replicate {

// What a daemon says of itself in its claims.
struct ClaimIdentity {
  std::string host;
  std::string boot_id;
  std::string database;  // identity of the database, for people
};

struct ClaimRecord {
  std::uint64_t epoch = 0;
  ClaimIdentity identity;
  WallTime started;
  std::string writer;  // random: tells our own claim from one of the same host
  friend bool operator==(const ClaimRecord& a, const ClaimRecord& b) {
    return a.epoch == b.epoch && a.writer == b.writer;
  }
};

std::string SerializeClaim(const ClaimRecord& record);
// kCorruption; kUnsupported for a newer version than this program knows.
Result<ClaimRecord> ParseClaim(std::string_view text);

// Thread-safe. Store, clock and random outlive it.
class Claim {
 public:
  Claim(store::ObjectStore& store, store::ObjectKey key, ClaimIdentity identity, Clock& clock,
        Random& random);

  // Takes the claim from whoever has it: the next epoch is ours.
  Result<void> Take();

  // As Take(), but kFenced if another daemon has it: once it was ours, only we give it up.
  Result<void> Renew();

  // Reads the claim again. kFenced naming the holder if it is not ours. One that was deleted is
  // put there again.
  Result<void> Check();

  // Check(), unless one succeeded within `max_age`.
  Result<void> CheckIfOlder(std::chrono::nanoseconds max_age);

  // The next CheckIfOlder() reads it.
  void Doubt();

  // 0: not taken.
  std::uint64_t epoch() const;
  // It was another daemon's when we took it.
  bool was_anothers() const;

 private:
  struct Stored {
    ClaimRecord record;
    store::Etag etag;
  };
  enum class From : std::uint8_t { kAnybody, kOurselves };

  Result<void> TakeFrom(From from);
  Result<std::optional<Stored>> Read();
  Result<void> Write(const ClaimRecord& record, const std::optional<Stored>& replaced);
  Result<void> TakeOver(const std::optional<Stored>& current);

  store::ObjectStore& store_;
  const store::ObjectKey key_;
  const ClaimIdentity identity_;
  Clock& clock_;
  const std::string writer_;
  const WallTime started_;

  mutable Mutex mutex_;  // not held during requests
  std::uint64_t epoch_ RUNNEL_GUARDED_BY(mutex_) = 0;
  bool was_anothers_ RUNNEL_GUARDED_BY(mutex_) = false;
  std::optional<MonotonicTime> checked_at_ RUNNEL_GUARDED_BY(mutex_);
};

}  // namespace runnel::replicate
