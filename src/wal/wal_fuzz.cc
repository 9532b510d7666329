// WAL files. Input is read as a file, and as a recipe for a file with right checksums that is then
// damaged in a few places. Either way the reader must see exactly the frames that a plain reading
// of the format sees.

#include <algorithm>

#include "wal/frame_reader.h"
#include "wal/testing.h"

using namespace runnel;

namespace {

// The format, word by word, without the reader's code.
class PlainReader {
 public:
  explicit PlainReader(ByteView wal) : wal_(wal) {}

  bool ReadHeader() {
    if (wal_.size() < 32) return false;
    const auto magic = U32(0);
    if (magic != 0x377F0682 && magic != 0x377F0683) return false;
    order_ = magic == 0x377F0683 ? ByteOrder::kBig : ByteOrder::kLittle;
    page_size_ = U32(8);
    if (U32(4) != 3007000 || !IsValidPageSize(page_size_)) return false;
    Sum(0, 24);
    return s1_ == U32(24) && s2_ == U32(28);
  }

  bool NextFrame() {
    if (wal_.size() - at_ < 24 + page_size_) return false;
    if (U32(at_ + 8) != U32(16) || U32(at_ + 12) != U32(20) || U32(at_) == 0) return false;
    Sum(at_, 8);
    Sum(at_ + 24, page_size_);
    if (s1_ != U32(at_ + 16) || s2_ != U32(at_ + 20)) return false;
    at_ += 24 + page_size_;
    return true;
  }

  std::size_t end_of_frame() const { return at_; }

 private:
  std::uint32_t U32(std::size_t at) const { return GetBigEndian<std::uint32_t>(wal_, at); }
  void Sum(std::size_t at, std::size_t size) {
    for (std::size_t i = at; i < at + size; i += 8) {
      s1_ += GetInt<std::uint32_t>(wal_, i, order_) + s2_;
      s2_ += GetInt<std::uint32_t>(wal_, i + 4, order_) + s1_;
    }
  }

  ByteView wal_;
  ByteOrder order_{};
  std::uint32_t page_size_ = 0;
  std::uint32_t s1_ = 0;
  std::uint32_t s2_ = 0;
  std::size_t at_ = 32;
};

void CheckFile(ByteView wal) {
  PlainReader plain(wal);
  const auto header = wal::ParseHeader(wal);
  RUNNEL_CHECK(header.has_value() == plain.ReadHeader());
  if (!header) return;
  wal::FrameReader reader(wal::Position::AfterHeader(*header), wal.subspan(wal::kHeaderSize));
  while (const auto frame = reader.Next()) {
    RUNNEL_CHECK(plain.NextFrame());
    RUNNEL_CHECK(reader.position().offset_bytes() == plain.end_of_frame());
    RUNNEL_CHECK(frame->page.data() + frame->page.size() == wal.data() + plain.end_of_frame());
  }
  RUNNEL_CHECK(!plain.NextFrame());
}

Bytes Cook(ByteView recipe) {
  const auto kind = std::to_integer<std::uint32_t>(recipe[0]);
  const std::uint32_t page_size = (kind & 2) != 0 ? 1024 : 512;
  wal::testing::WalWriter writer((kind & 1) != 0 ? ByteOrder::kBig : ByteOrder::kLittle, page_size,
                                 {.salt1 = kind, .salt2 = 3}, 0);
  const std::uint32_t frame_count = kind >> 2 & 7;
  for (std::uint32_t n = 0; n < frame_count; ++n) {
    Bytes page(page_size);
    std::ranges::copy(recipe.first(std::min(recipe.size(), page.size())), page.begin());
    writer.Add((kind & 0x80) != 0 ? n : n + 1, n, page);
  }
  Bytes wal = writer.bytes();
  for (std::size_t i = 1; i + 3 <= recipe.size(); i += 3) {
    const std::size_t at = GetLittleEndian<std::uint16_t>(recipe, i) % wal.size();
    wal[at] ^= recipe[i + 2];
  }
  return wal;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  CheckFile(bytes);
  if (!bytes.empty()) CheckFile(Cook(bytes));
  return 0;
}
