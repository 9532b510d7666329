// Whole files. Input that begins with "LTX1" is decoded as it is; other input is a recipe for a
// file with a right file checksum, since hardly any mutation would get past that otherwise.
//
// What the decoder accepts must be seen the same way by the index cursor and the frame decoder,
// and must survive our encoder.

#include <lz4.h>

#include <algorithm>

#include "ltx/page_codec.h"
#include "ltx/page_index.h"
#include "ltx/testing.h"

using namespace runnel;
using ltx::testing::DecodedFile;
using ltx::testing::RawFile;

namespace {

class SpanReader final : public ltx::FileReader {
 public:
  explicit SpanReader(ByteView bytes) : bytes_(bytes) {}
  Result<void> ReadAt(std::uint64_t offset, MutableBytes out) override {
    RUNNEL_CHECK(offset <= bytes_.size() && out.size() <= bytes_.size() - offset);
    std::ranges::copy(bytes_.subspan(offset, out.size()), out.begin());
    return {};
  }
  std::uint64_t size_bytes() const override { return bytes_.size(); }

 private:
  ByteView bytes_;
};

void CheckIndex(ByteView bytes, const DecodedFile& file) {
  SpanReader reader(bytes);
  auto cursor = ltx::PageIndexCursor::Open(reader, file.header.page_size);
  RUNNEL_CHECK(cursor.has_value() && cursor->trailer() == file.trailer);
  for (const ltx::IndexEntry& entry : file.index) {
    const auto found = cursor->Next();
    RUNNEL_CHECK(found.has_value() && *found == entry);
    const ByteView frame = bytes.subspan(static_cast<std::size_t>(entry.offset_bytes),
                                         static_cast<std::size_t>(entry.size_bytes));
    Bytes page(file.header.page_size);
    RUNNEL_CHECK(ltx::DecodePageFrame(entry, frame, page).has_value());
    RUNNEL_CHECK(page == file.pages.at(entry.page_no));
  }
  const auto end = cursor->Next();
  RUNNEL_CHECK(end.has_value() && !*end);
}

void CheckReencoding(DecodedFile file) {
  if (file.header.has_ltx_checksums) return;  // which we do not write
  for (const auto encoding : {ltx::PageEncoding::kBlock, ltx::PageEncoding::kFrame}) {
    const auto bytes = ltx::testing::Encode(file.header, file.pages, {.encoding = encoding});
    RUNNEL_CHECK(bytes.has_value());
    const auto again = ltx::testing::Decode(*bytes);
    RUNNEL_CHECK(again.has_value());
    RUNNEL_CHECK(again->header == file.header && again->pages == file.pages);
  }
}

void CheckFile(ByteView bytes) {
  auto file = ltx::testing::Decode(bytes);
  const auto in_small_windows = ltx::testing::Decode(bytes, {.read_ahead_bytes = 1});
  RUNNEL_CHECK(file.has_value() == in_small_windows.has_value());
  if (!file) return;
  RUNNEL_CHECK(in_small_windows->trailer == file->trailer);
  CheckIndex(bytes, *file);
  CheckReencoding(*std::move(file));
}

// Takes the recipe apart from the front; gives zeros at its end.
class Recipe {
 public:
  explicit Recipe(ByteView rest) : rest_(rest) {}
  bool empty() const { return rest_.empty(); }
  std::uint8_t Byte() {
    return rest_.empty() ? std::uint8_t{0} : std::to_integer<std::uint8_t>(Take(1)[0]);
  }
  ByteView Take(std::size_t size) {
    const ByteView taken = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }

 private:
  ByteView rest_;
};

// What the file checksum covers in place of a compressed page.
Bytes PageOf(ByteView block, std::uint32_t page_size) {
  Bytes page(page_size);
  const int size = LZ4_decompress_safe(reinterpret_cast<const char*>(block.data()),
                                       reinterpret_cast<char*>(page.data()),
                                       static_cast<int>(block.size()), static_cast<int>(page_size));
  page.resize(static_cast<std::size_t>(std::max(size, 0)));
  return page;
}

void AddFrame(RawFile& file, Recipe& recipe, std::uint32_t& page_no) {
  const std::uint8_t kind = recipe.Byte();
  page_no += kind % 16 == 15 ? recipe.Byte() : 1U;
  if ((kind & 0x10) != 0) {  // a block as it comes
    const ByteView block = recipe.Take(recipe.Byte());
    file.Frame(page_no, (kind & 0x40) != 0 ? recipe.Byte() : 1, block,
               static_cast<std::uint32_t>(block.size()), PageOf(block, kPageSizeMin));
    return;
  }
  Bytes page(kPageSizeMin, static_cast<std::byte>(recipe.Byte()));
  std::ranges::copy(recipe.Take(kind >> 4), page.begin());
  if ((kind & 0x20) == 0) {
    file.Block(page_no, page);
    return;
  }
  ltx::PageCompressor compressor(ltx::PageEncoding::kFrame);
  Bytes frame(ltx::FrameSizeMax(kPageSizeMin));
  frame.resize(compressor.EncodeFrame(PageNo{page_no}, page, frame));
  file.Frame(page_no, 0, ByteView(frame).subspan(ltx::kPageHeaderSize), std::nullopt, page);
}

Bytes Cook(Recipe recipe) {
  const std::uint8_t kind = recipe.Byte();
  ltx::Header header = (kind & 1) != 0
                           ? ltx::testing::SnapshotHeader(kPageSizeMin, recipe.Byte(), 9)
                           : ltx::testing::IncrementalHeader(kPageSizeMin, 200, 9);
  header.has_ltx_checksums = (kind & 2) != 0;
  if (header.has_ltx_checksums && !header.IsSnapshot()) header.pre_apply_checksum = 1ULL << 63;
  if ((kind & 4) != 0) header.chain = ltx::Chain{};
  RawFile file(header);
  std::uint32_t page_no = 0;
  const std::size_t count = recipe.Byte() % 32U;
  for (std::size_t i = 0; i < count; ++i) AddFrame(file, recipe, page_no);
  if ((kind & 8) != 0) return file.FinishWith(recipe.Take(recipe.Byte()));
  return file.Finish((kind & 2) != 0 ? 1ULL << 63 | recipe.Byte() : 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  const bool is_file = size >= 4 && AsText(bytes.first(4)) == "LTX1";
  if (is_file) {
    CheckFile(bytes);
  } else {
    CheckFile(Cook(Recipe(bytes)));
  }
  return 0;
}
