// Takes the frames out of a piece of a WAL and stops where its valid part ends.

#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "wal/format.h"
#include "wal/frame_verifier.h"

namespace runnel::wal {

struct Frame {
  FrameNo frame_no{};
  PageNo page_no{};
  std::uint32_t commit_pages = 0;  // as in FrameHeader
  ByteView page;                   // part of the window

  bool IsCommit() const { return commit_pages != 0; }
};

enum class FrameEndReason : std::uint8_t {
  kEndOfWindow,  // what is left is less than one frame: read on from position(), or a torn tail
  kStale,        // frames of an earlier generation follow
  kTorn,         // the next frame is not whole, or not the one that follows
};

// One thread at a time.
class FrameReader {
 public:
  // `window` holds the bytes of the file from `position.offset_bytes()` on, and outlives the
  // reader.
  FrameReader(const Position& position, ByteView window) : verifier_(position), rest_(window) {}

  // The next valid frame; nothing once one is not (end_reason() then says why), and ever after.
  std::optional<Frame> Next();

  FrameEndReason end_reason() const { return end_reason_; }

  // Behind the last frame that Next() gave.
  const Position& position() const { return verifier_.position(); }

 private:
  FrameVerifier verifier_;
  ByteView rest_;
  FrameEndReason end_reason_ = FrameEndReason::kEndOfWindow;
};

}  // namespace runnel::wal
