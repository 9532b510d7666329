// Where in the WAL the newest cut ends, with the checksums that its LTX header has no room for.
//
// The record is bound to the cut's file checksum, and is written without a sync after each cut. A
// record that is missing, torn or of another cut is as good as none: continuity counts as lost
// then, and a scan repairs it.

#pragma once

#include <optional>

#include "base/ids.h"
#include "base/result.h"
#include "capture/position.h"
#include "fs/file_system.h"

namespace runnel::capture {

struct PositionRecord {
  Txid txid{};
  FileChecksum cut_checksum{};
  std::uint32_t commit_pages = 0;
  WalPosition position;
};

Result<void> WritePositionRecord(fs::FileSystem& fs, const fs::Path& path,
                                 const fs::Ownership& ownership, const PositionRecord& record);

// Nothing if there is none, or it is damaged.
Result<std::optional<PositionRecord>> ReadPositionRecord(fs::FileSystem& fs, const fs::Path& path);

}  // namespace runnel::capture
