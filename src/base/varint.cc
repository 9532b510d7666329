#include "base/varint.h"

#include <algorithm>

namespace runnel {

void AppendVarint(Bytes& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<std::byte>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<std::byte>(value));
}

std::optional<Varint> ParseVarint(ByteView in) {
  std::uint64_t value = 0;
  const std::size_t limit = std::min(in.size(), kVarintSizeMax);
  for (std::size_t i = 0; i < limit; ++i) {
    const auto byte = std::to_integer<std::uint64_t>(in[i]);
    const bool last = byte < 0x80;
    if (i == kVarintSizeMax - 1 && byte > 1) return std::nullopt;  // past 64 bits
    if (last && byte == 0 && i > 0) return std::nullopt;           // a shorter form exists
    value |= (byte & 0x7F) << (7 * i);
    if (last) return Varint{.value = value, .size = i + 1};
  }
  return std::nullopt;
}

}  // namespace runnel
