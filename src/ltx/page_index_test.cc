#include "ltx/page_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ltx/testing.h"

namespace runnel::ltx {
namespace {

using testing::Decode;
using testing::Encode;
using testing::IncrementalHeader;
using testing::PageMap;
using testing::RawFile;

constexpr std::uint32_t kPageSize = 512;

class SpanReader final : public FileReader {
 public:
  explicit SpanReader(ByteView bytes) : bytes_(bytes) {}

  Result<void> ReadAt(std::uint64_t offset, MutableBytes out) override {
    ++reads_;
    largest_ = std::max(largest_, out.size());
    if (offset > bytes_.size() || out.size() > bytes_.size() - offset) {
      return Fail(Errc::kCorruption, "past the end");
    }
    std::ranges::copy(bytes_.subspan(offset, out.size()), out.begin());
    return {};
  }
  std::uint64_t size_bytes() const override { return bytes_.size(); }

  std::size_t reads() const { return reads_; }
  std::size_t largest() const { return largest_; }

 private:
  ByteView bytes_;
  std::size_t reads_ = 0;
  std::size_t largest_ = 0;
};

Result<std::vector<IndexEntry>> Walk(FileReader& file, std::uint32_t page_size = kPageSize) {
  RUNNEL_TRY(auto cursor, PageIndexCursor::Open(file, page_size));
  std::vector<IndexEntry> entries;
  while (true) {
    RUNNEL_TRY(const auto entry, cursor.Next());
    if (!entry) return entries;
    entries.push_back(*entry);
  }
}

Result<std::vector<IndexEntry>> Walk(ByteView bytes) {
  SpanReader file(bytes);
  return Walk(file);
}

Bytes FileOf(std::uint32_t page_count) {
  PageMap pages;
  for (std::uint32_t n = 1; n <= page_count; ++n) {
    pages[PageNo{2 * n}] = Bytes(kPageSize, static_cast<std::byte>(n));
  }
  return Encode(IncrementalHeader(kPageSize, 2 * page_count + 1, 5), pages).value();
}

TEST(PageIndexCursorTest, GivesWhatTheDecoderSaw) {
  for (const std::uint32_t page_count : {0U, 1U, 2U, 100U}) {
    const Bytes bytes = FileOf(page_count);
    const auto decoded = Decode(bytes);
    SpanReader file(bytes);
    EXPECT_EQ(Walk(file).value(), decoded->index);
    EXPECT_EQ(file.reads(), 1U) << "an index in the tail takes one read";
    EXPECT_EQ(PageIndexCursor::Open(file, kPageSize)->trailer(), decoded->trailer);
  }
}

TEST(PageIndexCursorTest, LargeIndexIsWalkedInWindows) {
  const Bytes bytes = FileOf(60'000);
  const auto decoded = Decode(bytes);
  SpanReader file(bytes);
  EXPECT_EQ(Walk(file).value(), decoded->index);
  EXPECT_GT(file.reads(), 3U);
  EXPECT_LE(file.largest(), 65536U);
}

// Every size around the tail and the windows, so that a number is cut at each of its bytes.
TEST(PageIndexCursorTest, NumbersMayLieAcrossWindows) {
  for (std::uint32_t page_count = 4640; page_count < 4720; ++page_count) {
    const Bytes bytes = FileOf(page_count);
    const auto entries = Walk(bytes);
    ASSERT_TRUE(entries) << page_count << ": " << entries.error().message();
    ASSERT_EQ(entries->size(), page_count);
  }
}

TEST(PageIndexCursorTest, TruncatedAtEveryByteIsAnError) {
  const Bytes bytes = FileOf(3);
  ASSERT_TRUE(Walk(bytes));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto walked = Walk(ByteView(bytes).first(size));
    ASSERT_FALSE(walked) << size;
    EXPECT_EQ(walked.error().code(), Errc::kCorruption);
  }
}

// Page numbers are not redundant in the index alone: a flip may give another ascending list, and
// is then found by DecodePageFrame(), which compares them with the frames.
TEST(PageIndexCursorTest, EveryFlippedBitOfTheIndexIsAnErrorOrAnotherPageNumber) {
  const Bytes bytes = FileOf(5);
  const auto good = Walk(bytes);
  const std::size_t index_start = good->back().offset_bytes + good->back().size_bytes + 6;
  for (std::size_t bit = index_start * 8; bit < (bytes.size() - 16) * 8; ++bit) {
    Bytes flipped = bytes;
    flipped[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    const auto walked = Walk(flipped);
    if (!walked) continue;
    ASSERT_EQ(walked->size(), good->size());
    bool same_pages = true;
    for (std::size_t i = 0; i < good->size(); ++i) {
      same_pages = same_pages && (*walked)[i].page_no == (*good)[i].page_no;
      const IndexEntry& entry = (*walked)[i];
      Bytes page(kPageSize);
      const ByteView frame = ByteView(bytes).subspan(entry.offset_bytes, entry.size_bytes);
      EXPECT_EQ(DecodePageFrame(entry, frame, page).has_value(), entry == (*good)[i]);
    }
    EXPECT_FALSE(same_pages) << "bit " << bit;
  }
}

TEST(PageIndexCursorTest, EveryRuleIsChecked) {
  const auto file = [] {
    return RawFile(IncrementalHeader(kPageSize, 10, 2))
        .Block(2, Bytes(kPageSize))
        .Block(9, Bytes(kPageSize));
  };
  const std::vector<IndexEntry> good = file().index();
  const auto error = [&](auto change) -> std::string {
    std::vector<IndexEntry> entries = good;
    change(entries);
    const auto walked = Walk(file().FinishWith(RawFile::SerializeIndex(entries)));
    return walked ? "(none)" : walked.error().message();
  };
  using ::testing::HasSubstr;
  EXPECT_EQ(error([](auto&) {}), "(none)");
  EXPECT_THAT(error([](auto& e) { e[1].page_no = PageNo{2}; }), HasSubstr("page 2 after page 2"));
  EXPECT_THAT(error([](auto& e) { e[1].page_no = LockPage(kPageSize); }),
              HasSubstr("there can be no page 2097153"));
  EXPECT_THAT(error([](auto& e) { ++e[0].offset_bytes; }), HasSubstr("at byte 101"));
  EXPECT_THAT(error([](auto& e) { --e[0].size_bytes; }), HasSubstr("the frame before ends"));
  EXPECT_THAT(error([](auto& e) { --e[1].size_bytes; }), HasSubstr("the last frame ends"));
  EXPECT_THAT(error([](auto& e) { ++e[1].size_bytes; }), HasSubstr("impossible frame"));
  EXPECT_THAT(error([](auto& e) { e[0].size_bytes = 10; }), HasSubstr("impossible frame"));
  EXPECT_THAT(error([](auto& e) { e[1].size_bytes = ~std::uint64_t{0}; }),
              HasSubstr("impossible frame"));
  EXPECT_THAT(error([](auto& e) { e.pop_back(); }), HasSubstr("the last frame ends"));

  Bytes entries = RawFile::SerializeIndex(good);
  const auto with_length = [&](std::uint64_t length) -> std::string {
    const auto walked = Walk(file().FinishWith(entries, length));
    return walked ? "(none)" : walked.error().message();
  };
  for (const std::uint64_t length :
       {std::uint64_t{0}, entries.size() - 1, entries.size() + 1, std::uint64_t{1} << 63}) {
    EXPECT_NE(with_length(length), "(none)") << length;
  }
  entries.push_back(std::byte{0});
  EXPECT_THAT(with_length(entries.size()), HasSubstr("after its end"));
  entries = {std::byte{0x80}, std::byte{0x00}, std::byte{0}};
  EXPECT_THAT(with_length(entries.size()), HasSubstr("invalid number"));
}

TEST(PageIndexCursorTest, FailureStays) {
  RawFile file(IncrementalHeader(kPageSize, 10, 2));
  file.Block(2, Bytes(kPageSize)).index()[0].offset_bytes = 7;
  const Bytes bytes = file.Finish();
  SpanReader reader(bytes);
  auto cursor = PageIndexCursor::Open(reader, kPageSize);
  ASSERT_TRUE(cursor);
  const auto first = cursor->Next();
  ASSERT_FALSE(first);
  EXPECT_EQ(cursor->Next().error(), first.error());
}

}  // namespace
}  // namespace runnel::ltx
