#include "base/crc64.h"

#include <array>

#ifdef RUNNEL_HAVE_ISAL
#include <isa-l/crc64.h>
#endif

namespace runnel {
namespace {

constexpr std::uint64_t kPolynomial = 0xD800000000000000;
constexpr std::size_t kSlices = 8;

using SliceTables = std::array<std::array<std::uint64_t, 256>, kSlices>;

// tables[k][b] is the CRC of byte b followed by k zero bytes, so that 8 bytes take 8 independent
// look-ups ("slicing by 8").
constexpr SliceTables MakeTables() {
  SliceTables tables{};
  for (std::uint64_t b = 0; b < 256; ++b) {
    std::uint64_t crc = b;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? (crc >> 1) ^ kPolynomial : crc >> 1;
    tables[0][b] = crc;
  }
  for (std::size_t k = 1; k < kSlices; ++k) {
    for (std::size_t b = 0; b < 256; ++b) {
      const std::uint64_t previous = tables[k - 1][b];
      tables[k][b] = tables[0][previous & 0xFF] ^ (previous >> 8);
    }
  }
  return tables;
}

constexpr SliceTables kTables = MakeTables();

#ifdef RUNNEL_HAVE_ISAL
// isa-l returns with the upper halves of the vector registers in use. That slows all SSE code of
// this thread (LZ4, XXH3) to as little as a third, until somebody clears them.
void ClearUpperVectorHalves() {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx")) asm volatile("vzeroupper");
#endif
}
#endif

}  // namespace

std::uint64_t UpdateCrc64Portable(std::uint64_t value, ByteView bytes) {
  std::uint64_t crc = ~value;
  while (bytes.size() >= kSlices) {
    crc ^= GetLittleEndian<std::uint64_t>(bytes, 0);
    std::uint64_t next = 0;
    for (std::size_t k = 0; k < kSlices; ++k) {
      next ^= kTables[kSlices - 1 - k][(crc >> (8 * k)) & 0xFF];
    }
    crc = next;
    bytes = bytes.subspan(kSlices);
  }
  for (const std::byte b : bytes) {
    crc = kTables[0][(crc ^ std::to_integer<std::uint64_t>(b)) & 0xFF] ^ (crc >> 8);
  }
  return ~crc;
}

void Crc64::Update(ByteView bytes) {
#ifdef RUNNEL_HAVE_ISAL
  value_ =
      crc64_iso_refl(value_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  ClearUpperVectorHalves();
#else
  value_ = UpdateCrc64Portable(value_, bytes);
#endif
}

}  // namespace runnel
