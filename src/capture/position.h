// Where capture stands in a WAL.

#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/ids.h"
#include "wal/checksum.h"
#include "wal/format.h"

namespace runnel::capture {

// Everything up to and including `frame` of generation `salts` has been captured. `checksum` is the
// cumulative one of that frame; zero for frame 0, an empty generation.
struct WalPosition {
  wal::Salts salts;
  FrameNo frame{};
  wal::Checksum checksum;
  friend bool operator==(const WalPosition&, const WalPosition&) = default;
};

// The form in which state files keep a position (docs/formats/state.md).
void PutWalPosition(MutableBytes out, std::size_t offset, const WalPosition& position);
WalPosition GetWalPosition(ByteView in, std::size_t offset);

}  // namespace runnel::capture
