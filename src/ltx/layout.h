// Details of docs/formats/ltx.md that encoder, decoder, index and merge share. Not for other
// folders.

#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "ltx/format.h"

namespace runnel::ltx {

// Set in every checksum that LTX defines, so that none of them is zero.
inline constexpr std::uint64_t kChecksumFlag = 1ULL << 63;

// The number of the page after `page_no` that a file may hold: it is never the lock page.
constexpr PageNo NextStored(PageNo page_no, PageNo lock_page) {
  const PageNo next = Next(page_no);
  return next == lock_page ? Next(next) : next;
}

// The last page of a database of `commit_pages` that a snapshot holds; 0 for an empty database.
constexpr PageNo LastStored(std::uint32_t commit_pages, PageNo lock_page) {
  return PageNo{commit_pages == ToInt(lock_page) ? commit_pages - 1 : commit_pages};
}

std::array<std::byte, kTrailerSize> SerializeTrailer(const Trailer& trailer);

// kCorruption unless the file checksum can be one. `bytes` holds kTrailerSize bytes.
Result<Trailer> ParseTrailer(ByteView bytes);

// kCorruption where `trailer` breaks a rule that depends on the header.
Result<void> CheckTrailer(const Trailer& trailer, const Header& header);

// LTX's own checksum of one page, and its fold over a database (starting at 0). Read, never
// written.
std::uint64_t LtxPageChecksum(PageNo page_no, ByteView page);
constexpr std::uint64_t FoldLtxChecksum(std::uint64_t folded, std::uint64_t page_checksum) {
  return kChecksumFlag | (folded ^ page_checksum);
}

}  // namespace runnel::ltx
