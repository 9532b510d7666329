// The running checksum of a WAL (docs/formats/wal.md, "Checksums").
//
// It tells a frame that was written whole from one that was not, and orders frames within one WAL
// generation. It is no protection against changed bytes: it is linear, 64 bits, and seeded by
// nothing secret.

#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace runnel::wal {

struct Checksum {
  std::uint32_t s1 = 0;
  std::uint32_t s2 = 0;
  friend bool operator==(const Checksum&, const Checksum&) = default;
};

// Continues `checksum` over `bytes`, a multiple of 8 of them, read as 32-bit words of `order`.
Checksum UpdateChecksum(Checksum checksum, ByteView bytes, ByteOrder order);

}  // namespace runnel::wal
