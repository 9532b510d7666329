#include "capture/wal_tail.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "wal/format.h"
#include "wal/frame_verifier.h"

namespace runnel::capture {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{512} << 10;

Result<wal::Header> ReadWalHeader(fs::File& wal) {
  std::array<std::byte, wal::kHeaderSize> bytes;
  RUNNEL_TRY(const std::size_t got, wal.ReadAt(0, bytes));
  if (got != bytes.size()) return Fail(Errc::kCorruption, "the WAL has no header");
  return wal::ParseHeader(bytes);
}

std::string_view Describe(wal::FrameVerdict verdict) {
  switch (verdict) {
    case wal::FrameVerdict::kValid: return "valid";
    case wal::FrameVerdict::kForeignSalt: return "of another generation";
    case wal::FrameVerdict::kNoPage: return "without a page";
    case wal::FrameVerdict::kBadChecksum: return "torn or overwritten";
  }
  std::unreachable();
}

Error LostFrames(FrameNo frame_no, std::string_view how) {
  return {Errc::kCorruption,
          fmt::format("frame {} of the WAL is committed, but {}", ToInt(frame_no), how)};
}

// Where reading begins, with all that it takes to prove the next frame.
Result<wal::Position> StartOf(fs::File& wal, const WalPosition& from, const WalState& to) {
  RUNNEL_TRY(const wal::Header header, ReadWalHeader(wal));
  if (header.salts != to.position.salts || header.page_size != to.page_size) {
    return Fail(Errc::kCorruption, "the WAL's header is not that of the wal-index");
  }
  wal::Position start = wal::Position::AfterHeader(header);
  if (from.salts == header.salts && from.frame != FrameNo{0}) {
    start.frame_no = from.frame;
    start.checksum = from.checksum;
  }
  return start;
}

}  // namespace

Result<void> CaptureFrames(fs::File& wal, const WalPosition& from, const WalState& to,
                           Segment& segment) {
  RUNNEL_TRY(const wal::Position start, StartOf(wal, from, to));
  if (start.frame_no > to.position.frame) {
    return Fail(Errc::kCorruption, "the WAL lost frames that were captured");
  }
  const std::size_t frame_size = wal::FrameSize(to.page_size);
  const std::size_t frames_per_chunk = std::max<std::size_t>(1, kChunkBytes / frame_size);
  wal::FrameVerifier verifier(start);
  std::uint32_t commit_pages = to.commit_pages;
  Bytes chunk;
  while (verifier.position().frame_no < to.position.frame) {
    const wal::Position at = verifier.position();
    const std::size_t frames =
        std::min<std::size_t>(frames_per_chunk, ToInt(to.position.frame) - ToInt(at.frame_no));
    chunk.resize(frames * frame_size);
    RUNNEL_TRY(const std::size_t got, wal.ReadAt(at.offset_bytes(), chunk));
    if (got != chunk.size()) return Fail(LostFrames(Next(at.frame_no), "not in the file"));
    for (std::size_t i = 0; i < frames; ++i) {
      const ByteView frame = ByteView(chunk).subspan(i * frame_size, frame_size);
      const wal::FrameVerdict verdict = verifier.Verify(frame);
      if (verdict != wal::FrameVerdict::kValid) {
        return Fail(LostFrames(Next(verifier.position().frame_no), Describe(verdict)));
      }
      const wal::FrameHeader header = wal::ParseFrameHeader(frame);
      commit_pages = header.commit_pages;
      RUNNEL_TRY_VOID(segment.AddPage(header.page_no, frame.subspan(wal::kFrameHeaderSize)));
    }
  }
  if (verifier.position().checksum != to.position.checksum || commit_pages != to.commit_pages) {
    return Fail(LostFrames(to.position.frame, "not the one that the wal-index names"));
  }
  segment.Commit({.position = to.position, .commit_pages = to.commit_pages});
  return {};
}

Result<bool> HoldsFrames(fs::File& wal, const WalState& held, FrameNo first) {
  const WalPosition start{.salts = held.position.salts, .frame = FrameNo{0}, .checksum = {}};
  RUNNEL_TRY(const bool generation, HoldsPosition(wal, held.page_size, start));
  if (!generation) return false;
  std::array<std::byte, wal::kFrameHeaderSize> bytes;
  for (FrameNo frame_no = first; frame_no <= held.position.frame; frame_no = Next(frame_no)) {
    RUNNEL_TRY(const std::size_t got,
               wal.ReadAt(wal::FrameOffset(frame_no, held.page_size), bytes));
    if (got != bytes.size()) return false;
    if (wal::ParseFrameHeader(bytes).salts != held.position.salts) return false;
  }
  return true;
}

Result<bool> HoldsPosition(fs::File& wal, std::uint32_t page_size, const WalPosition& position) {
  auto header = ReadWalHeader(wal);
  if (!header) {
    if (header.error().code() == Errc::kCorruption) return false;
    return Fail(std::move(header).error());
  }
  if (header->salts != position.salts || header->page_size != page_size) return false;
  if (position.frame == FrameNo{0}) return true;
  std::array<std::byte, wal::kFrameHeaderSize> bytes;
  RUNNEL_TRY(const std::size_t got, wal.ReadAt(wal::FrameOffset(position.frame, page_size), bytes));
  if (got != bytes.size()) return false;
  const wal::FrameHeader frame = wal::ParseFrameHeader(bytes);
  return frame.salts == position.salts && frame.checksum == position.checksum;
}

}  // namespace runnel::capture
