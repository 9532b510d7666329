// The wal-index header, with its checksum made right: what is accepted must be what the bytes say.

#include <algorithm>
#include <array>

#include "wal/wal_index_header.h"

using namespace runnel;

namespace {

constexpr ByteOrder kHostOrder =
    std::endian::native == std::endian::little ? ByteOrder::kLittle : ByteOrder::kBig;

template <class T>
T Get(ByteView bytes, std::size_t at) {
  return GetInt<T>(bytes, at, kHostOrder);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  (void)wal::ParseWalIndexHeader(bytes);
  if (size < wal::kWalIndexHeaderSize) return 0;

  std::array<std::byte, wal::kWalIndexHeaderSize> fixed{};
  std::ranges::copy(bytes.first(fixed.size()), fixed.begin());
  const wal::Checksum sum = wal::UpdateChecksum({}, ByteView(fixed).first(40), kHostOrder);
  PutInt(fixed, 40, sum.s1, kHostOrder);
  PutInt(fixed, 44, sum.s2, kHostOrder);
  const auto header = wal::ParseWalIndexHeader(fixed);
  if (!header) return 0;
  RUNNEL_CHECK(Get<std::uint32_t>(fixed, 0) == 3007000);
  RUNNEL_CHECK(Get<std::uint32_t>(fixed, 8) == header->change_counter);
  const auto page_size = Get<std::uint16_t>(fixed, 14);
  RUNNEL_CHECK(header->page_size == (page_size == 1 ? 65536U : page_size));
  RUNNEL_CHECK(IsValidPageSize(header->page_size) || header->max_frame == FrameNo{0});
  RUNNEL_CHECK(Get<std::uint32_t>(fixed, 16) == ToInt(header->max_frame));
  RUNNEL_CHECK(Get<std::uint32_t>(fixed, 20) == header->commit_pages);
  RUNNEL_CHECK(Get<std::uint32_t>(fixed, 24) == header->frame_checksum.s1);
  RUNNEL_CHECK(Get<std::uint32_t>(fixed, 28) == header->frame_checksum.s2);
  if (header->max_frame != FrameNo{0}) {
    RUNNEL_CHECK(header->position().frame_no == header->max_frame);
    RUNNEL_CHECK(wal::LastFrameBefore(header->position().offset_bytes(), header->page_size) ==
                 header->max_frame);
  }
  return 0;
}
