// How a replica's newest object hangs together with the local cuts.

#pragma once

#include <optional>

#include "base/ids.h"
#include "base/result.h"
#include "capture/staging.h"
#include "ltx/format.h"
#include "replicate/manifest.h"
#include "store/layout.h"
#include "store/object_store.h"

namespace runnel::replicate {

// What the newest object says of the database after it.
struct ReplicaLink {
  bool is_staged = false;   // the staged cut of that txid is the same
  bool is_foreign = false;  // there is one, and it is another
  std::optional<DatabaseChecksum> after;
};

std::optional<DatabaseChecksum> AfterOf(const ltx::Header& header);

// Reads the ends of the newest object of `manifest`, whether or not a path leads there. kCorruption
// if it is not what its name says.
Result<ReplicaLink> FindLink(store::ObjectStore& store, const store::ReplicaLayout& layout,
                             const Manifest& manifest, const capture::Staging& staging);

}  // namespace runnel::replicate
