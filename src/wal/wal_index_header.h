// The header of the wal-index (-shm): what SQLite holds to be committed. The layout is in
// docs/formats/wal-index.md.

#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "wal/format.h"
#include "wal/frame_verifier.h"

namespace runnel::wal {

inline constexpr std::size_t kWalIndexHeaderSize = 48;

struct WalIndexHeader {
  std::uint32_t change_counter = 0;  // goes up with every commit
  ByteOrder checksum_order{};        // of the WAL
  std::uint32_t page_size = 0;       // 0 before the first commit after a recovery that found none
  FrameNo max_frame{};               // the last committed frame; 0 for an empty WAL
  std::uint32_t commit_pages = 0;    // size of the database; meaningless if max_frame is 0
  Checksum frame_checksum{};         // of max_frame; meaningless if that is 0
  Salts salts{};

  // The place behind the last committed frame. Only if max_frame is not 0.
  Position position() const;

  friend bool operator==(const WalIndexHeader&, const WalIndexHeader&) = default;
};

// Takes one copy of the header apart: kCorruption unless its own checksum fits (also while it is
// being written: compare both copies first), kUnsupported for another version.
Result<WalIndexHeader> ParseWalIndexHeader(ByteView bytes);

}  // namespace runnel::wal
