// Where capture stands in a WAL.

#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/ids.h"

namespace runnel::capture {

// A generation of a WAL: what lies between two restarts. Salts are identities: the next ones
// cannot be computed from these.
struct WalSalts {
  std::uint32_t salt1 = 0;
  std::uint32_t salt2 = 0;
  friend bool operator==(const WalSalts&, const WalSalts&) = default;
};

// Everything up to and including `frame` of generation `salts` has been captured. The checksums
// are the cumulative ones of that frame; of the WAL's header where `frame` is 0.
struct WalPosition {
  WalSalts salts;
  FrameNo frame{};
  std::uint32_t checksum1 = 0;
  std::uint32_t checksum2 = 0;
  friend bool operator==(const WalPosition&, const WalPosition&) = default;
};

inline constexpr std::size_t kWalPositionSize = 20;

// The form in which state files keep a position (docs/formats/state.md).
void PutWalPosition(MutableBytes out, std::size_t offset, const WalPosition& position);
WalPosition GetWalPosition(ByteView in, std::size_t offset);

}  // namespace runnel::capture
