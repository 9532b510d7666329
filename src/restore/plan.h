// Which files of a replica to put together for a wanted state of the database.
//
// A file covers the txids min..max and holds the newest version, as of max, of every page that
// changed in them; one with min 1 holds every page. A state is reached by files that each begin no
// later than one past the end of what is there, and end after it.
//
//   (1) The choice at each step is the file with the largest max; of those the smallest min, the
//       higher level, the earlier time. No other choice reaches further (a file that can follow
//       some state can follow every later state that it goes past), nor with fewer files.
//   (2) A state exists exactly at the ends of files that can be reached; a txid inside a compacted
//       file is gone.
//   (3) A hole in the txids is an error, never a quietly older database, except where the target
//       itself lies before the hole.
//   (4) Files of Litestream and of ours follow the same rules and may be mixed.
//
// Pure: an inventory in, a plan out.

#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "restore/inventory.h"

namespace runnel::restore {

// Which state of the database is wanted. A value.
class Target {
 public:
  enum class Kind : std::uint8_t { kLatest, kTxid, kBefore };

  static Target Latest() { return {Kind::kLatest, {}, {}}; }
  static Target AtTxid(Txid txid) { return {Kind::kTxid, txid, {}}; }
  // Only files whose time is strictly before `time`: a file's time is read after its commits and
  // cut to a millisecond, so one with that very time may hold later commits.
  static Target Before(WallTime time) { return {Kind::kBefore, {}, time}; }

  Kind kind() const { return kind_; }
  Txid txid() const { return txid_; }      // meaningful for kTxid
  WallTime time() const { return time_; }  // meaningful for kBefore

 private:
  Target(Kind kind, Txid txid, WallTime time) : kind_(kind), txid_(txid), time_(time) {}

  Kind kind_;
  Txid txid_;
  WallTime time_;
};

struct Plan {
  std::vector<LtxFile> files;  // oldest first, never empty

  Txid txid() const { return files.back().range.max; }
  std::uint64_t size_bytes() const;
};

// Errors:
//   kNotFound    the txid cannot be reached exactly (names the nearest that can), or nothing is
//                older than the time (names the oldest there is)
//   kCorruption  txids are missing on the way (names them)
// For Target::Before() the inventory's times must be the true ones (ResolveTimes).
Result<Plan> MakePlan(const Inventory& inventory, const Target& target);

// Every txid that can be restored, ascending.
std::vector<Txid> RestorableTxids(const Inventory& inventory);

// "2026-08-19T14:53:14.120Z"
std::string FormatTime(WallTime time);

}  // namespace runnel::restore
