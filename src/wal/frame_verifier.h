// Proves the frames of one WAL generation, one after the other.

#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/ids.h"
#include "wal/checksum.h"
#include "wal/format.h"

namespace runnel::wal {

// A place in a WAL: behind frame `frame_no` of the generation `salts`, or behind the header if that
// is 0. Everything it takes to go on from there and to notice that one cannot. A value; two equal
// positions of one database stand for the same frames.
struct Position {
  Salts salts{};
  FrameNo frame_no{};
  Checksum checksum{};  // of everything up to here
  ByteOrder checksum_order{};
  std::uint32_t page_size = 0;

  static Position AfterHeader(const Header& header);

  // From the start of the file.
  std::uint64_t offset_bytes() const { return FrameEnd(frame_no, page_size); }

  friend bool operator==(const Position&, const Position&) = default;
};

enum class FrameVerdict : std::uint8_t {
  kValid,
  kForeignSalt,  // left over from an earlier generation: the end of this one
  kNoPage,       // page number 0: never written by SQLite
  kBadChecksum,  // torn, or overwritten, or not the frame that follows
};

// A value. Valid is not committed: a commit is what the wal-index header says it is, and a frame
// proven here may yet be replaced by another writer.
class FrameVerifier {
 public:
  // The frames after `position` are next.
  explicit FrameVerifier(const Position& position) : position_(position) {}
  explicit FrameVerifier(const Header& header) : position_(Position::AfterHeader(header)) {}

  // Looks at the next frame; moves past it only if it is valid. `frame` is exactly
  // FrameSize(page_size) bytes.
  FrameVerdict Verify(ByteView frame);

  // The same with header and page apart.
  FrameVerdict Verify(ByteView frame_header, ByteView page);

  const Position& position() const { return position_; }

 private:
  Position position_;
};

}  // namespace runnel::wal
