// The page index walked from the end of a file. What the cursor accepts must be the one way to
// write those entries, and they must tile the page block.

#include <algorithm>

#include "ltx/layout.h"
#include "ltx/page_index.h"
#include "ltx/testing.h"

using namespace runnel;

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

void Walk(ByteView file) {
  SpanReader reader(file);
  auto cursor = ltx::PageIndexCursor::Open(reader, kPageSizeMin);
  if (!cursor) return;
  std::vector<ltx::IndexEntry> entries;
  std::uint64_t next_frame = ltx::kHeaderSize;
  while (true) {
    const auto entry = cursor->Next();
    if (!entry) return;
    if (!*entry) break;
    RUNNEL_CHECK((*entry)->offset_bytes == next_frame);
    RUNNEL_CHECK(entries.empty() || (*entry)->page_no > entries.back().page_no);
    next_frame += (*entry)->size_bytes;
    entries.push_back(**entry);
  }
  const Bytes expected = ltx::testing::RawFile::SerializeIndex(entries);
  const std::size_t index_start = static_cast<std::size_t>(next_frame) + ltx::kPageHeaderSize;
  RUNNEL_CHECK(file.size() == index_start + expected.size() + 8 + ltx::kTrailerSize);
  RUNNEL_CHECK(std::ranges::equal(file.subspan(index_start, expected.size()), expected));
}

// A file with a page block of `pages_size` bytes and the index `entries`.
Bytes FileWith(std::size_t pages_size, ByteView entries) {
  Bytes file(ltx::kHeaderSize + pages_size + ltx::kPageHeaderSize);
  file.insert(file.end(), entries.begin(), entries.end());
  Bytes end(ltx::kIndexLengthSize);
  PutBigEndian(end, 0, std::uint64_t{entries.size()});
  file.insert(file.end(), end.begin(), end.end());
  const auto trailer = ltx::SerializeTrailer({.file_checksum = FileChecksum{ltx::kChecksumFlag}});
  file.insert(file.end(), trailer.begin(), trailer.end());
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  Walk(bytes);
  if (size >= 2) Walk(FileWith(GetLittleEndian<std::uint16_t>(bytes, 0), bytes.subspan(2)));
  return 0;
}
