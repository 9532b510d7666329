#include "wal/frame_reader.h"

namespace runnel::wal {

std::optional<Frame> FrameReader::Next() {
  const std::uint64_t frame_size = FrameSize(verifier_.position().page_size);
  if (rest_.size() < frame_size) return std::nullopt;
  const ByteView frame = rest_.first(static_cast<std::size_t>(frame_size));
  const FrameVerdict verdict = verifier_.Verify(frame);
  if (verdict != FrameVerdict::kValid) {
    end_reason_ =
        verdict == FrameVerdict::kForeignSalt ? FrameEndReason::kStale : FrameEndReason::kTorn;
    rest_ = rest_.first(0);
    return std::nullopt;
  }
  rest_ = rest_.subspan(frame.size());
  const FrameHeader header = ParseFrameHeader(frame);
  return Frame{.frame_no = verifier_.position().frame_no,
               .page_no = header.page_no,
               .commit_pages = header.commit_pages,
               .page = frame.subspan(kFrameHeaderSize)};
}

}  // namespace runnel::wal
