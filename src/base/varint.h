// Unsigned LEB128, as Go's encoding/binary writes it: 7 bits a byte, lowest first.

#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace runnel {

inline constexpr std::size_t kVarintSizeMax = 10;

void AppendVarint(Bytes& out, std::uint64_t value);

struct Varint {
  std::uint64_t value;
  std::size_t size;  // bytes it takes in the input
};

// The varint at the front of `in`. Nothing if it is cut off, does not fit 64 bits, or is not the
// shortest form of its value.
std::optional<Varint> ParseVarint(ByteView in);

}  // namespace runnel
