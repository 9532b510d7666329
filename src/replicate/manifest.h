// What a replica holds, known without asking: listed once, then kept by what is written and
// deleted. Some dozens of bytes a file.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "store/layout.h"
#include "store/object_store.h"

namespace runnel::replicate {

struct ReplicaFile {
  store::TxidRange range;
  std::uint64_t size_bytes = 0;
  WallTime timestamp;  // of the newest commit in it; of the upload where the store lists only that
  friend bool operator==(const ReplicaFile&, const ReplicaFile&) = default;
};

struct LeveledFile {
  Level level{};
  ReplicaFile file;
  friend bool operator==(const LeveledFile&, const LeveledFile&) = default;
};

// A value. One thread at a time.
class Manifest {
 public:
  // One listing of each level. Objects with other names than those of LTX files are left out.
  static Result<Manifest> List(store::ObjectStore& store, const store::ReplicaLayout& layout);

  // Ascending by first txid, then by last.
  const std::vector<ReplicaFile>& files(Level level) const { return levels_[Index(level)]; }

  // Takes the place of a file of the same level and range.
  void Add(Level level, const ReplicaFile& file);
  // False if it was not there.
  bool Remove(Level level, const store::TxidRange& range);
  std::optional<ReplicaFile> Find(Level level, const store::TxidRange& range) const;

  bool empty() const;
  std::size_t file_count() const;
  std::uint64_t total_bytes() const;

  // The largest txid that any file ends with; 0 if there is none.
  Txid newest() const;
  Txid newest(Level level) const;
  WallTime newest_timestamp() const;

  // A file of `level` holds the changes of `txid`.
  bool Covers(Level level, Txid txid) const;

  // The files that a restore of the furthest state up to `limit` puts together, oldest first: the
  // rules of restore/plan.h.
  std::vector<LeveledFile> PathTo(Txid limit) const;
  // Where that path ends without a limit: what can be restored. 0 if nothing can.
  Txid reach() const;

 private:
  static std::size_t Index(Level level) { return static_cast<std::size_t>(ToInt(level)); }

  std::array<std::vector<ReplicaFile>, kLevelCount> levels_;
};

}  // namespace runnel::replicate
