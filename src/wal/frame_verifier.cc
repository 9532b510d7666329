#include "wal/frame_verifier.h"

namespace runnel::wal {
namespace {

constexpr std::size_t kHashedFrameHeaderSize = 8;  // page number and commit size

}  // namespace

Position Position::AfterHeader(const Header& header) {
  return {.salts = header.salts,
          .frame_no = FrameNo{0},
          .checksum = header.checksum,
          .checksum_order = header.checksum_order,
          .page_size = header.page_size};
}

FrameVerdict FrameVerifier::Verify(ByteView frame) {
  RUNNEL_CHECK(frame.size() == FrameSize(position_.page_size));
  return Verify(frame.first(kFrameHeaderSize), frame.subspan(kFrameHeaderSize));
}

FrameVerdict FrameVerifier::Verify(ByteView frame_header, ByteView page) {
  RUNNEL_CHECK(page.size() == position_.page_size);
  const FrameHeader header = ParseFrameHeader(frame_header);
  if (header.salts != position_.salts) return FrameVerdict::kForeignSalt;
  if (header.page_no == PageNo{0}) return FrameVerdict::kNoPage;

  const ByteOrder order = position_.checksum_order;
  Checksum checksum =
      UpdateChecksum(position_.checksum, frame_header.first(kHashedFrameHeaderSize), order);
  checksum = UpdateChecksum(checksum, page, order);
  if (checksum != header.checksum) return FrameVerdict::kBadChecksum;
  position_.checksum = checksum;
  position_.frame_no = Next(position_.frame_no);
  return FrameVerdict::kValid;
}

}  // namespace runnel::wal
