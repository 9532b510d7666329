// What an earlier process left in the state folder: where capture may go on, and what it had
// captured but not cut.

#pragma once

#include <memory>
#include <optional>

#include "base/result.h"
#include "capture/cutter.h"
#include "capture/position.h"
#include "capture/segment.h"
#include "capture/staging.h"
#include "capture/state_paths.h"
#include "fs/file_system.h"

namespace runnel::capture {

struct RecoveredSegments {
  std::unique_ptr<Segment> frozen;  // closed, its cut was not made
  std::unique_ptr<Segment> open;
};

// The segments that continue `history`, each where the one before ends. Others, and temporary
// files, are removed: their content is in the database.
Result<RecoveredSegments> RecoverSegments(fs::FileSystem& fs, const StatePaths& paths,
                                          const fs::Ownership& ownership, const History& history,
                                          const SegmentLimits& limits);

// Where in the WAL a cut that somebody else wrote ends: where its header says, if the frames that
// it says it was made from are there and have its pages. Nothing if not, and nothing for a cut
// without frames. Litestream itself looks at the last frame only, which a power loss can leave as
// it was while the ones before it are rewritten.
Result<std::optional<WalPosition>> FindForeignPosition(fs::File& wal, const History& history,
                                                       const Staging& staging);

}  // namespace runnel::capture
