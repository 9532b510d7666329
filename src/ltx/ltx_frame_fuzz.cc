// One page frame, in both directions, with LZ4's own frame decoder as the reference for the legacy
// form.

#include <lz4frame.h>

#include <algorithm>

#include "ltx/decoder.h"
#include "ltx/page_codec.h"

using namespace runnel;

namespace {

// The page in the LZ4 frame `lz4`, which must end exactly with it.
void CheckWithLz4f(ByteView lz4, ByteView page) {
  LZ4F_dctx* context = nullptr;
  RUNNEL_CHECK(!LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)));
  Bytes out(page.size() + 1);
  std::size_t out_size = out.size();
  std::size_t in_size = lz4.size();
  const std::size_t hint =
      LZ4F_decompress(context, out.data(), &out_size, lz4.data(), &in_size, nullptr);
  LZ4F_freeDecompressionContext(context);
  RUNNEL_CHECK(hint == 0 && in_size == lz4.size());
  RUNNEL_CHECK(std::ranges::equal(ByteView(out).first(out_size), page));
}

void CheckRoundTrip(ltx::PageEncoding encoding, ByteView page) {
  ltx::PageCompressor compressor(encoding);
  Bytes frame(ltx::FrameSizeMax(static_cast<std::uint32_t>(page.size())));
  frame.resize(compressor.EncodeFrame(PageNo{7}, page, frame));
  Bytes decoded(page.size());
  const ltx::IndexEntry entry{
      .page_no = PageNo{7}, .offset_bytes = 100, .size_bytes = frame.size()};
  RUNNEL_CHECK(ltx::DecodePageFrame(entry, frame, decoded).has_value());
  RUNNEL_CHECK(std::ranges::equal(decoded, page));
  if (encoding == ltx::PageEncoding::kFrame) CheckWithLz4f(ByteView(frame).subspan(6), page);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::uint32_t page_size = kPageSizeMin << (data[0] & 7);
  const ByteView bytes = ByteView(reinterpret_cast<const std::byte*>(data), size).subspan(1);

  Bytes page(page_size);
  std::ranges::copy(bytes.first(std::min(bytes.size(), page.size())), page.begin());
  CheckRoundTrip(ltx::PageEncoding::kBlock, page);
  CheckRoundTrip(ltx::PageEncoding::kFrame, page);

  if (bytes.size() < sizeof(std::uint32_t)) return 0;
  const ltx::IndexEntry entry{.page_no = PageNo{GetBigEndian<std::uint32_t>(bytes, 0)},
                              .offset_bytes = 100,
                              .size_bytes = bytes.size()};
  if (!ltx::DecodePageFrame(entry, bytes, page)) return 0;
  const bool is_block = bytes[5] != std::byte{0};
  if (!is_block) CheckWithLz4f(bytes.subspan(ltx::kPageHeaderSize), page);
  return 0;
}
