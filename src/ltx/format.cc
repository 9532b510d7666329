#include "ltx/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/crc64.h"
#include "ltx/layout.h"

namespace runnel::ltx {
namespace {

constexpr std::uint32_t kMagic = 0x4C545831;     // "LTX1"
constexpr std::uint32_t kChainTag = 0x524E4C31;  // "RNL1"
constexpr std::uint32_t kFlagNoChecksum = 0x2;

// Byte offsets in the header.
constexpr std::size_t kFlagsAt = 4;
constexpr std::size_t kPageSizeAt = 8;
constexpr std::size_t kCommitAt = 12;
constexpr std::size_t kMinTxidAt = 16;
constexpr std::size_t kMaxTxidAt = 24;
constexpr std::size_t kTimestampAt = 32;
constexpr std::size_t kPreApplyAt = 40;
constexpr std::size_t kWalOffsetAt = 48;
constexpr std::size_t kWalSizeAt = 56;
constexpr std::size_t kWalSalt1At = 64;
constexpr std::size_t kWalSalt2At = 68;
constexpr std::size_t kNodeIdAt = 72;
constexpr std::size_t kChainTagAt = 80;
constexpr std::size_t kChainBeforeAt = 84;
constexpr std::size_t kChainAfterAt = 92;
static_assert(kChainAfterAt + sizeof(std::uint64_t) == kHeaderSize);

constexpr std::uint64_t kSigned64Max = std::numeric_limits<std::int64_t>::max();

std::unexpected<Error> Broken(std::string_view rule) {
  return Fail(Errc::kCorruption, fmt::format("LTX header: {}", rule));
}

Result<void> CheckWalRange(const WalRange& wal) {
  if (wal.offset_bytes > kSigned64Max || wal.size_bytes > kSigned64Max) {
    return Broken("negative WAL offset or size");
  }
  if (wal.offset_bytes != 0) return {};
  if (wal.salt1 != 0 || wal.salt2 != 0) return Broken("WAL salt without a WAL offset");
  if (wal.size_bytes != 0) return Broken("WAL size without a WAL offset");
  return {};
}

Result<void> CheckPreApply(const Header& header) {
  const std::uint64_t checksum = header.pre_apply_checksum;
  if (header.IsSnapshot()) {
    if (checksum != 0) return Broken("a snapshot has a pre-apply checksum");
  } else if (!header.has_ltx_checksums) {
    if (checksum != 0) return Broken("pre-apply checksum despite the no-checksum flag");
  } else if ((checksum & kChecksumFlag) == 0) {
    return Broken("pre-apply checksum is missing or lacks its flag");
  }
  return {};
}

Result<void> CheckHeader(const Header& header) {
  if (!IsValidPageSize(header.page_size)) {
    return Broken(fmt::format("page size {} is not a power of two from {} to {}", header.page_size,
                              kPageSizeMin, kPageSizeMax));
  }
  if (header.min_txid == Txid{0}) return Broken("min txid is 0");
  if (header.max_txid < header.min_txid) {
    return Broken(fmt::format("max txid {} is before min txid {}", FormatTxid(header.max_txid),
                              FormatTxid(header.min_txid)));
  }
  // An empty database needs LTX's checksum of "nothing" in the trailer, which the flag forbids.
  if (header.commit_pages == 0 && !header.has_ltx_checksums) {
    return Broken("commit size 0 with the no-checksum flag");
  }
  RUNNEL_TRY_VOID(CheckWalRange(header.wal));
  RUNNEL_TRY_VOID(CheckPreApply(header));
  if (header.chain && header.IsSnapshot() && header.chain->before != DatabaseChecksum{0}) {
    return Broken("the chain of a snapshot does not begin at 0");
  }
  return {};
}

}  // namespace

std::array<std::byte, kHeaderSize> SerializeHeader(const Header& header) {
  std::array<std::byte, kHeaderSize> out{};
  PutBigEndian(out, 0, kMagic);
  PutBigEndian(out, kFlagsAt, header.has_ltx_checksums ? std::uint32_t{0} : kFlagNoChecksum);
  PutBigEndian(out, kPageSizeAt, header.page_size);
  PutBigEndian(out, kCommitAt, header.commit_pages);
  PutBigEndian(out, kMinTxidAt, ToInt(header.min_txid));
  PutBigEndian(out, kMaxTxidAt, ToInt(header.max_txid));
  const std::int64_t timestamp_ms = header.timestamp.time_since_epoch().count();
  PutBigEndian(out, kTimestampAt, static_cast<std::uint64_t>(timestamp_ms));
  PutBigEndian(out, kPreApplyAt, header.pre_apply_checksum);
  PutBigEndian(out, kWalOffsetAt, header.wal.offset_bytes);
  PutBigEndian(out, kWalSizeAt, header.wal.size_bytes);
  PutBigEndian(out, kWalSalt1At, header.wal.salt1);
  PutBigEndian(out, kWalSalt2At, header.wal.salt2);
  PutBigEndian(out, kNodeIdAt, header.node_id);
  if (header.chain) {
    PutBigEndian(out, kChainTagAt, kChainTag);
    PutBigEndian(out, kChainBeforeAt, ToInt(header.chain->before));
    PutBigEndian(out, kChainAfterAt, ToInt(header.chain->after));
  }
  return out;
}

Result<Header> ParseHeader(ByteView bytes) {
  if (bytes.size() < kHeaderSize) return Broken("cut short");
  if (GetBigEndian<std::uint32_t>(bytes, 0) != kMagic) return Broken("not an LTX file");
  const auto flags = GetBigEndian<std::uint32_t>(bytes, kFlagsAt);
  if ((flags & ~kFlagNoChecksum) != 0) return Broken(fmt::format("unknown flags {:#010x}", flags));

  Header header;
  header.page_size = GetBigEndian<std::uint32_t>(bytes, kPageSizeAt);
  header.commit_pages = GetBigEndian<std::uint32_t>(bytes, kCommitAt);
  header.min_txid = Txid{GetBigEndian<std::uint64_t>(bytes, kMinTxidAt)};
  header.max_txid = Txid{GetBigEndian<std::uint64_t>(bytes, kMaxTxidAt)};
  const auto timestamp_ms =
      static_cast<std::int64_t>(GetBigEndian<std::uint64_t>(bytes, kTimestampAt));
  header.timestamp = WallTime(std::chrono::milliseconds(timestamp_ms));
  header.has_ltx_checksums = (flags & kFlagNoChecksum) == 0;
  header.pre_apply_checksum = GetBigEndian<std::uint64_t>(bytes, kPreApplyAt);
  header.wal = {.offset_bytes = GetBigEndian<std::uint64_t>(bytes, kWalOffsetAt),
                .size_bytes = GetBigEndian<std::uint64_t>(bytes, kWalSizeAt),
                .salt1 = GetBigEndian<std::uint32_t>(bytes, kWalSalt1At),
                .salt2 = GetBigEndian<std::uint32_t>(bytes, kWalSalt2At)};
  header.node_id = GetBigEndian<std::uint64_t>(bytes, kNodeIdAt);
  if (GetBigEndian<std::uint32_t>(bytes, kChainTagAt) == kChainTag) {
    header.chain = {.before = DatabaseChecksum{GetBigEndian<std::uint64_t>(bytes, kChainBeforeAt)},
                    .after = DatabaseChecksum{GetBigEndian<std::uint64_t>(bytes, kChainAfterAt)}};
  }
  RUNNEL_TRY_VOID(CheckHeader(header));
  return header;
}

std::array<std::byte, kTrailerSize> SerializeTrailer(const Trailer& trailer) {
  std::array<std::byte, kTrailerSize> out;
  PutBigEndian(out, 0, trailer.post_apply_checksum);
  PutBigEndian(out, sizeof(std::uint64_t), ToInt(trailer.file_checksum));
  return out;
}

Result<Trailer> ParseTrailer(ByteView bytes) {
  const Trailer trailer{
      .post_apply_checksum = GetBigEndian<std::uint64_t>(bytes, 0),
      .file_checksum = FileChecksum{GetBigEndian<std::uint64_t>(bytes, sizeof(std::uint64_t))}};
  if ((ToInt(trailer.file_checksum) & kChecksumFlag) == 0) {
    return Fail(Errc::kCorruption, "LTX trailer: file checksum is missing or lacks its flag");
  }
  return trailer;
}

Result<void> CheckTrailer(const Trailer& trailer, const Header& header) {
  const std::uint64_t checksum = trailer.post_apply_checksum;
  if (!header.has_ltx_checksums) {
    if (checksum == 0) return {};
    return Fail(Errc::kCorruption, "LTX trailer: post-apply checksum despite the no-checksum flag");
  }
  if ((checksum & kChecksumFlag) == 0) {
    return Fail(Errc::kCorruption, "LTX trailer: post-apply checksum is missing or lacks its flag");
  }
  if (header.commit_pages == 0 && checksum != kChecksumFlag) {
    return Fail(Errc::kCorruption, "LTX trailer: an empty database has a post-apply checksum");
  }
  return {};
}

std::uint64_t LtxPageChecksum(PageNo page_no, ByteView page) {
  std::array<std::byte, sizeof(std::uint32_t)> number;
  PutBigEndian(number, 0, ToInt(page_no));
  Crc64 crc;
  crc.Update(number);
  crc.Update(page);
  return kChecksumFlag | crc.value();
}

}  // namespace runnel::ltx
