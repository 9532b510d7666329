#include "wal/checksum.h"

namespace runnel::wal {
namespace {

// Every word depends on the sum before it, so the speed is that of the chain of additions. Written
// as (s1 + word) + s2, only the second addition of each word is on that chain.
template <ByteOrder kOrder>
Checksum Update(Checksum checksum, const std::byte* at, const std::byte* end) {
  std::uint32_t s1 = checksum.s1;
  std::uint32_t s2 = checksum.s2;
  const auto word = [](const std::byte* p) {
    std::uint32_t value = 0;
    std::memcpy(&value, p, sizeof(value));
    const bool native_is_little = std::endian::native == std::endian::little;
    return (kOrder == ByteOrder::kLittle) == native_is_little ? value : std::byteswap(value);
  };
  const auto step = [&](const std::byte* p) {
    s1 = (s1 + word(p)) + s2;
    s2 = (s2 + word(p + 4)) + s1;
  };
  for (; end - at >= 64; at += 64) {
    step(at);
    step(at + 8);
    step(at + 16);
    step(at + 24);
    step(at + 32);
    step(at + 40);
    step(at + 48);
    step(at + 56);
  }
  for (; at != end; at += 8) step(at);
  return {.s1 = s1, .s2 = s2};
}

}  // namespace

Checksum UpdateChecksum(Checksum checksum, ByteView bytes, ByteOrder order) {
  RUNNEL_CHECK(bytes.size() % 8 == 0);
  const std::byte* const end = bytes.data() + bytes.size();
  return order == ByteOrder::kLittle ? Update<ByteOrder::kLittle>(checksum, bytes.data(), end)
                                     : Update<ByteOrder::kBig>(checksum, bytes.data(), end);
}

}  // namespace runnel::wal
