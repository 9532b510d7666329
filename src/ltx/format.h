// The fixed parts of an LTX file. The layout is specified in docs/formats/ltx.md and nowhere else.

#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"

namespace runnel::ltx {

inline constexpr std::size_t kHeaderSize = 100;
inline constexpr std::size_t kPageHeaderSize = 6;
inline constexpr std::size_t kSizePrefixSize = 4;
inline constexpr std::size_t kTrailerSize = 16;
inline constexpr std::size_t kIndexLengthSize = 8;

// How a page is stored. Blocks are what Litestream 0.5.16 and later write; frames are the only
// form that 0.5.0 to 0.5.15 can read. Both are always read.
enum class PageEncoding : std::uint8_t { kBlock, kFrame };

// A page as it is in a file: page header, sizes, and the page compressed.
struct EncodedPage {
  PageEncoding encoding{};
  ByteView frame;
};

// Where in a WAL to go on from. All zero where a file was not made from a WAL. Litestream obeys
// these fields of its newest local file, so they are part of the format (docs/formats/ltx.md).
struct WalRange {
  std::uint64_t offset_bytes = 0;
  std::uint64_t size_bytes = 0;
  std::uint32_t salt1 = 0;
  std::uint32_t salt2 = 0;
  friend bool operator==(const WalRange&, const WalRange&) = default;
};

// The database before and after a file is applied (docs/formats/ltx.md, "The chain").
struct Chain {
  DatabaseChecksum before{};
  DatabaseChecksum after{};
  friend bool operator==(const Chain&, const Chain&) = default;
};

struct Header {
  std::uint32_t page_size = 0;
  std::uint32_t commit_pages = 0;  // size of the database after this file, in pages
  Txid min_txid{};
  Txid max_txid{};
  WallTime timestamp{};
  WalRange wal{};
  std::uint64_t node_id = 0;
  // Litestream sets the no-checksum flag and leaves both fields zero; so do we. Files that carry
  // LTX's own rolling checksums are read, and keep them here.
  bool has_ltx_checksums = false;
  std::uint64_t pre_apply_checksum = 0;
  std::optional<Chain> chain{};  // none: written by Litestream

  // Covers every page of the database, from its beginning.
  bool IsSnapshot() const { return min_txid == Txid{1}; }
  // A snapshot, or a full copy under a later txid (docs/formats/ltx.md, "Full copies").
  bool HoldsAllPages() const {
    return IsSnapshot() || (chain && chain->before == DatabaseChecksum{0});
  }
  friend bool operator==(const Header&, const Header&) = default;
};

struct Trailer {
  std::uint64_t post_apply_checksum = 0;  // 0 where the header has no LTX checksums
  FileChecksum file_checksum{};
  friend bool operator==(const Trailer&, const Trailer&) = default;
};

// Where a page's frame lies in its file.
struct IndexEntry {
  PageNo page_no{};
  std::uint64_t offset_bytes = 0;  // of the page header, from the start of the file
  std::uint64_t size_bytes = 0;    // page header, size prefix and compressed page
  friend bool operator==(const IndexEntry&, const IndexEntry&) = default;
};

std::array<std::byte, kHeaderSize> SerializeHeader(const Header& header);

// kCorruption with the rule that is broken. `bytes` holds at least kHeaderSize bytes.
Result<Header> ParseHeader(ByteView bytes);

}  // namespace runnel::ltx
