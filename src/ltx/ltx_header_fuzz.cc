// What ParseHeader() accepts must serialize to the bytes it came from.

#include <algorithm>

#include "ltx/format.h"

using namespace runnel;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  const auto header = ltx::ParseHeader(bytes);
  if (!header) return 0;
  constexpr std::size_t kReservedAt = 80;  // ignored where there is no chain
  const auto out = ltx::SerializeHeader(*header);
  const std::size_t compared = header->chain ? ltx::kHeaderSize : kReservedAt;
  RUNNEL_CHECK(std::ranges::equal(ByteView(out).first(compared), bytes.first(compared)));
  return 0;
}
