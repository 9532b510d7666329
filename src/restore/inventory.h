// What a replica holds: the LTX files of all its levels.
//
//   (1) Names are believed, contents are not looked at: a listing costs ten requests and a few
//       dozen bytes a file.
//   (2) Objects whose names are not those of LTX files are not ours and are left out.
//   (3) On stores whose listings do not return the time that was given with an object, the times
//       are those of the upload until ResolveTimes() has asked for the true ones.

#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "store/layout.h"
#include "store/object_store.h"

namespace runnel::restore {

struct LtxFile {
  Level level{};
  store::TxidRange range;
  std::uint64_t size_bytes = 0;
  WallTime timestamp;  // of the newest commit in it
  friend bool operator==(const LtxFile&, const LtxFile&) = default;
};

struct Inventory {
  std::vector<LtxFile> files;  // by level, then first txid, then last txid

  // The largest txid that any file ends with, reachable or not; 0 if there is none.
  Txid newest() const;
};

// Where one replica lies. Both outlive whatever is given the value.
struct Source {
  store::ObjectStore* store = nullptr;
  const store::ReplicaLayout* layout = nullptr;

  store::ObjectKey KeyOf(const LtxFile& file) const {
    return layout->LtxKey(file.level, file.range);
  }
  // For messages: the store's location and the replica's path in it.
  std::string Location() const;
};

// Lists all levels, at most `parallelism` at once. kNotFound if there is no LTX file at all; the
// message names the location and what lies near it instead (see empty_replica.h).
Result<Inventory> ListReplica(const Source& source, int parallelism, const std::stop_token& stop);

// The inventory for a plan that wants files from before `before`, with true times. Asks for the
// time of a file only if a plan could need it: not for files inside one that is known to be older
// than `before`, nor for those that end at or after a txid known to be too new (those stay, with
// a time past every target). A file that is gone by now is left out. Where listings have the true
// times this does nothing.
Result<Inventory> ResolveTimes(const Source& source, Inventory inventory, WallTime before,
                               int parallelism, const std::stop_token& stop);

}  // namespace runnel::restore
