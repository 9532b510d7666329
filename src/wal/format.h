// The fixed parts of a WAL file. The layout is in docs/formats/wal.md and nowhere else.

#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "wal/checksum.h"

namespace runnel::wal {

inline constexpr std::size_t kHeaderSize = 32;
inline constexpr std::size_t kFrameHeaderSize = 24;

// Name one generation of a WAL, from one restart to the next. An identity: nothing follows from
// one being larger than another.
struct Salts {
  std::uint32_t salt1 = 0;
  std::uint32_t salt2 = 0;
  friend bool operator==(const Salts&, const Salts&) = default;
};

struct Header {
  ByteOrder checksum_order{};
  std::uint32_t page_size = 0;
  std::uint32_t checkpoint_seq = 0;
  Salts salts{};
  Checksum checksum{};  // of this header; where that of the first frame goes on
  friend bool operator==(const Header&, const Header&) = default;
};

// kCorruption with the rule that is broken. A WAL that is being made, or was torn by a power loss,
// looks like that too.
Result<Header> ParseHeader(ByteView bytes);

struct FrameHeader {
  PageNo page_no{};
  std::uint32_t commit_pages = 0;  // size of the database if this frame ends a transaction, else 0
  Salts salts{};
  Checksum checksum{};

  bool IsCommit() const { return commit_pages != 0; }
  friend bool operator==(const FrameHeader&, const FrameHeader&) = default;
};

// Takes the fields apart and checks nothing: FrameVerifier does. `bytes` holds kFrameHeaderSize.
FrameHeader ParseFrameHeader(ByteView bytes);

// Header and page.
constexpr std::uint64_t FrameSize(std::uint32_t page_size) { return kFrameHeaderSize + page_size; }

// Where frame `frame_no` begins in the file, for frame_no >= 1. Cannot overflow.
constexpr std::uint64_t FrameOffset(FrameNo frame_no, std::uint32_t page_size) {
  return kHeaderSize + (std::uint64_t{ToInt(frame_no)} - 1) * FrameSize(page_size);
}

// Where frame `frame_no` ends: the size of a WAL of that many frames. The header's end for 0.
constexpr std::uint64_t FrameEnd(FrameNo frame_no, std::uint32_t page_size) {
  return kHeaderSize + std::uint64_t{ToInt(frame_no)} * FrameSize(page_size);
}

// The last frame that ends at or before `offset_bytes`; 0 if none does.
FrameNo LastFrameBefore(std::uint64_t offset_bytes, std::uint32_t page_size);

}  // namespace runnel::wal
