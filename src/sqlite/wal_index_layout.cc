#include "sqlite/wal_index_layout.h"

#include <utility>

namespace runnel::sqlite {
namespace {

// SQLite's WAL checksum, over words of the host's order.
std::pair<std::uint32_t, std::uint32_t> Checksum(const WalIndexBytes& header) {
  std::uint32_t s0 = 0;
  std::uint32_t s1 = 0;
  for (std::size_t at = 0; at < kHeaderChecksumOffset; at += 8) {
    s0 += GetInt<std::uint32_t>(header, at, kHostOrder) + s1;
    s1 += GetInt<std::uint32_t>(header, at + 4, kHostOrder) + s0;
  }
  return {s0, s1};
}

}  // namespace

bool HasValidChecksum(const WalIndexBytes& header) {
  return Checksum(header) ==
         std::pair(GetInt<std::uint32_t>(header, kHeaderChecksumOffset, kHostOrder),
                   GetInt<std::uint32_t>(header, kHeaderChecksumOffset + 4, kHostOrder));
}

WalIndexBytes NeverWrittenWalIndexHeader() {
  WalIndexBytes header{};
  PutInt(header, kVersionOffset, kWalIndexVersion, kHostOrder);
  header[kIsInitOffset] = std::byte{1};
  const auto [s0, s1] = Checksum(header);
  PutInt(header, kHeaderChecksumOffset, s0, kHostOrder);
  PutInt(header, kHeaderChecksumOffset + 4, s1, kHostOrder);
  return header;
}

}  // namespace runnel::sqlite
