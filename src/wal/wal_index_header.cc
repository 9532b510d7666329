#include "wal/wal_index_header.h"

#include <fmt/format.h>

namespace runnel::wal {
namespace {

constexpr std::uint32_t kVersion = 3007000;
constexpr std::size_t kHashedSize = 40;

// Shared memory of one machine: integers are in its own order. The salts alone are the bytes of
// the WAL header.
constexpr ByteOrder kHostOrder =
    std::endian::native == std::endian::little ? ByteOrder::kLittle : ByteOrder::kBig;

std::uint32_t GetU32(ByteView bytes, std::size_t offset) {
  return GetInt<std::uint32_t>(bytes, offset, kHostOrder);
}

std::unexpected<Error> Broken(std::string_view rule) {
  return Fail(Errc::kCorruption, fmt::format("wal-index header: {}", rule));
}

}  // namespace

Position WalIndexHeader::position() const {
  RUNNEL_CHECK(max_frame != FrameNo{0});
  return {.salts = salts,
          .frame_no = max_frame,
          .checksum = frame_checksum,
          .checksum_order = checksum_order,
          .page_size = page_size};
}

Result<WalIndexHeader> ParseWalIndexHeader(ByteView bytes) {
  if (bytes.size() < kWalIndexHeaderSize) return Broken("cut short");
  const Checksum checksum{.s1 = GetU32(bytes, kHashedSize), .s2 = GetU32(bytes, kHashedSize + 4)};
  if (UpdateChecksum({}, bytes.first(kHashedSize), kHostOrder) != checksum) {
    return Broken("checksum mismatch");
  }
  if (bytes[12] == std::byte{0}) return Broken("not initialized");
  const std::uint32_t version = GetU32(bytes, 0);
  if (version != kVersion) {
    return Fail(Errc::kUnsupported, fmt::format("wal-index header: unknown version {}", version));
  }
  const std::uint32_t stored_page_size = GetInt<std::uint16_t>(bytes, 14, kHostOrder);
  const WalIndexHeader header{
      .change_counter = GetU32(bytes, 8),
      .checksum_order = bytes[13] != std::byte{0} ? ByteOrder::kBig : ByteOrder::kLittle,
      .page_size = stored_page_size == 1 ? kPageSizeMax : stored_page_size,
      .max_frame = FrameNo{GetU32(bytes, 16)},
      .commit_pages = GetU32(bytes, 20),
      .frame_checksum = {.s1 = GetU32(bytes, 24), .s2 = GetU32(bytes, 28)},
      .salts = {.salt1 = GetBigEndian<std::uint32_t>(bytes, 32),
                .salt2 = GetBigEndian<std::uint32_t>(bytes, 36)}};
  const bool empty = header.page_size == 0 && header.max_frame == FrameNo{0};
  if (!IsValidPageSize(header.page_size) && !empty) {
    return Broken(fmt::format("page size {}", header.page_size));
  }
  return header;
}

}  // namespace runnel::wal
