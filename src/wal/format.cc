#include "wal/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace runnel::wal {
namespace {

constexpr std::uint32_t kMagic = 0x377F0682;  // the lowest bit says which byte order
constexpr std::uint32_t kMagicBigEndianBit = 1;
constexpr std::uint32_t kVersion = 3007000;
constexpr std::size_t kHashedHeaderSize = 24;

Checksum GetChecksum(ByteView bytes, std::size_t offset) {
  return {.s1 = GetBigEndian<std::uint32_t>(bytes, offset),
          .s2 = GetBigEndian<std::uint32_t>(bytes, offset + 4)};
}

Salts GetSalts(ByteView bytes, std::size_t offset) {
  return {.salt1 = GetBigEndian<std::uint32_t>(bytes, offset),
          .salt2 = GetBigEndian<std::uint32_t>(bytes, offset + 4)};
}

std::unexpected<Error> Broken(std::string_view rule) {
  return Fail(Errc::kCorruption, fmt::format("WAL header: {}", rule));
}

}  // namespace

Result<Header> ParseHeader(ByteView bytes) {
  if (bytes.size() < kHeaderSize) return Broken("cut short");
  const auto magic = GetBigEndian<std::uint32_t>(bytes, 0);
  if ((magic & ~kMagicBigEndianBit) != kMagic) return Broken("not a WAL");
  const auto version = GetBigEndian<std::uint32_t>(bytes, 4);
  if (version != kVersion) return Broken(fmt::format("unknown version {}", version));

  const bool big_endian = (magic & kMagicBigEndianBit) != 0;
  const Header header{.checksum_order = big_endian ? ByteOrder::kBig : ByteOrder::kLittle,
                      .page_size = GetBigEndian<std::uint32_t>(bytes, 8),
                      .checkpoint_seq = GetBigEndian<std::uint32_t>(bytes, 12),
                      .salts = GetSalts(bytes, 16),
                      .checksum = GetChecksum(bytes, kHashedHeaderSize)};
  if (!IsValidPageSize(header.page_size)) {
    return Broken(fmt::format("page size {} is not a power of two from {} to {}", header.page_size,
                              kPageSizeMin, kPageSizeMax));
  }
  if (UpdateChecksum({}, bytes.first(kHashedHeaderSize), header.checksum_order) !=
      header.checksum) {
    return Broken("checksum mismatch");
  }
  return header;
}

FrameHeader ParseFrameHeader(ByteView bytes) {
  return {.page_no = PageNo{GetBigEndian<std::uint32_t>(bytes, 0)},
          .commit_pages = GetBigEndian<std::uint32_t>(bytes, 4),
          .salts = GetSalts(bytes, 8),
          .checksum = GetChecksum(bytes, 16)};
}

FrameNo LastFrameBefore(std::uint64_t offset_bytes, std::uint32_t page_size) {
  if (offset_bytes < kHeaderSize) return FrameNo{0};
  const std::uint64_t count = (offset_bytes - kHeaderSize) / FrameSize(page_size);
  return FrameNo{static_cast<std::uint32_t>(
      std::min<std::uint64_t>(count, std::numeric_limits<std::uint32_t>::max()))};
}

}  // namespace runnel::wal
