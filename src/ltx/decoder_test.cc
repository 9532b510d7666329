#include "ltx/decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "ltx/layout.h"
#include "ltx/testing.h"

namespace runnel::ltx {
namespace {

using testing::BtreePage;
using testing::Decode;
using testing::DecodedFile;
using testing::Encode;
using testing::IncrementalHeader;
using testing::PageMap;
using testing::RandomPage;
using testing::RawFile;
using testing::SnapshotHeader;

constexpr std::uint32_t kPageSize = 512;

Bytes Fill(char c, std::uint32_t page_size = kPageSize) {
  return Bytes(page_size, static_cast<std::byte>(c));
}

Bytes TestData(const std::string& name) {
  std::ifstream in(std::string(RUNNEL_TESTDATA) + "/ltx/" + name, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  EXPECT_FALSE(text.empty()) << name;
  const ByteView bytes = AsBytes(text);
  return {bytes.begin(), bytes.end()};
}

// The error of a file that must not decode, by streaming it.
std::string ErrorOf(ByteView bytes) {
  const auto decoded = Decode(bytes);
  if (decoded) return "(none)";
  EXPECT_EQ(decoded.error().code(), Errc::kCorruption) << decoded.error().message();
  return decoded.error().message();
}

Header GoldenHeader() {
  Header header = SnapshotHeader(kPageSize, 1, 1);
  header.wal = {.offset_bytes = 32, .size_bytes = 536, .salt1 = 0x11111111, .salt2 = 0x22222222};
  return header;
}

// Hands out at most a few bytes at a time.
class TrickleSource final : public ByteSource {
 public:
  TrickleSource(ByteView bytes, std::size_t step) : source_(bytes), step_(step) {}
  Result<std::size_t> Read(MutableBytes out) override {
    return source_.Read(out.first(std::min(out.size(), step_)));
  }

 private:
  SpanSource source_;
  std::size_t step_;
};

class FailingSource final : public ByteSource {
 public:
  explicit FailingSource(ByteView bytes) : source_(bytes) {}
  Result<std::size_t> Read(MutableBytes out) override {
    RUNNEL_TRY(const std::size_t count, source_.Read(out));
    if (count == 0) return Fail(Errc::kIo, "cable pulled");
    return count;
  }

 private:
  SpanSource source_;
};

struct GoldenCase {
  const char* name;
  PageEncoding encoding;
  std::uint64_t file_checksum;
};
constexpr GoldenCase kGolden[] = {{"golden-block.ltx", PageEncoding::kBlock, 0x891961518A6D58A9},
                                  {"golden-frame.ltx", PageEncoding::kFrame, 0xB19BDCBDD3D98E8C}};

TEST(GoldenFileTest, DecodesAndEncodesToTheSameBytes) {
  for (const GoldenCase& golden : kGolden) {
    const Bytes bytes = TestData(golden.name);
    const auto file = Decode(bytes);
    ASSERT_TRUE(file) << golden.name << ": " << file.error().message();
    EXPECT_EQ(file->header, GoldenHeader());
    EXPECT_EQ(file->pages, (PageMap{{PageNo{1}, Fill('A')}}));
    EXPECT_EQ(ToInt(file->trailer.file_checksum), golden.file_checksum);
    EXPECT_EQ(Encode(file->header, file->pages, {.encoding = golden.encoding}).value(), bytes);
  }
}

Bytes SmallFile(PageEncoding encoding) {
  std::mt19937_64 random(7);
  PageMap pages{{PageNo{1}, BtreePage(random, kPageSize)},
                {PageNo{2}, RandomPage(random, kPageSize)},
                {PageNo{3}, Fill('z')}};
  Header header = SnapshotHeader(kPageSize, 3, 5);
  header.chain = Chain{.before = {}, .after = testing::SumOf(pages)};
  return Encode(header, pages, {.encoding = encoding}).value();
}

TEST(DecoderTest, TruncatedAtEveryByteIsAnError) {
  for (const PageEncoding encoding : {PageEncoding::kBlock, PageEncoding::kFrame}) {
    const Bytes bytes = SmallFile(encoding);
    ASSERT_TRUE(Decode(bytes));
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_NE(ErrorOf(ByteView(bytes).first(size)), "(none)") << size;
    }
  }
}

// The file checksum covers the pages before compression, so a flip inside the compressed bytes is
// harmless exactly when it decodes to the same page.
TEST(DecoderTest, EveryFlippedBitIsAnErrorOrDecodesToTheSameFile) {
  for (const PageEncoding encoding : {PageEncoding::kBlock, PageEncoding::kFrame}) {
    const Bytes bytes = SmallFile(encoding);
    const DecodedFile good = Decode(bytes).value();
    std::size_t harmless = 0;
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      Bytes flipped = bytes;
      flipped[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      const auto decoded = Decode(flipped);
      if (!decoded) {
        ASSERT_EQ(decoded.error().code(), Errc::kCorruption);
        continue;
      }
      ++harmless;
      ASSERT_TRUE(std::ranges::any_of(good.index,
                                      [&](const IndexEntry& entry) {
                                        return bit / 8 >= entry.offset_bytes + 10 &&
                                               bit / 8 < entry.offset_bytes + entry.size_bytes;
                                      }))
          << "bit " << bit << " is not of a compressed page";
      ASSERT_EQ(decoded->header, good.header);
      ASSERT_EQ(decoded->pages, good.pages);
    }
    EXPECT_LT(harmless, bytes.size() / 10);
  }
}

TEST(DecoderTest, ReadsThroughAnyWindowAndAnySource) {
  const Bytes bytes = SmallFile(PageEncoding::kBlock);
  const PageMap pages = Decode(bytes).value().pages;
  for (const std::size_t window : {1U, 7U, 100U, 65536U}) {
    for (const std::size_t step : {1U, 13U, 1000U}) {
      TrickleSource source(bytes, step);
      const auto decoded = Decode(source, {.read_ahead_bytes = window});
      ASSERT_TRUE(decoded) << decoded.error().message();
      EXPECT_EQ(decoded->pages, pages);
    }
  }
}

TEST(DecoderTest, FinishReadsThePagesThatRemain) {
  const Bytes bytes = SmallFile(PageEncoding::kBlock);
  for (std::size_t read = 0; read <= 4; ++read) {
    SpanSource source(bytes);
    Decoder decoder(source);
    ASSERT_TRUE(decoder.ReadHeader());
    Bytes page(kPageSize);
    for (std::size_t i = 0; i < read; ++i) ASSERT_TRUE(decoder.ReadPage(page));
    EXPECT_TRUE(decoder.Finish());
  }
}

TEST(DecoderTest, SourceFailureKeepsItsCodeAndStays) {
  const Bytes bytes = SmallFile(PageEncoding::kBlock);
  FailingSource source(ByteView(bytes).first(bytes.size() - 1));
  Decoder decoder(source);
  ASSERT_TRUE(decoder.ReadHeader());
  const auto first = decoder.Finish();
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().code(), Errc::kIo);
  EXPECT_EQ(decoder.Finish().error(), first.error());
  Bytes page(kPageSize);
  EXPECT_EQ(decoder.ReadPage(page).error(), first.error());
}

TEST(DecoderTest, BytesAfterTheTrailerAreRefused) {
  Bytes bytes = SmallFile(PageEncoding::kBlock);
  bytes.push_back(std::byte{0});
  EXPECT_THAT(ErrorOf(bytes), ::testing::HasSubstr("after the trailer"));
}

// What Go's decoder lets through as long as the file checksum fits.

RawFile Incremental(std::uint32_t commit = 10) {
  return RawFile(IncrementalHeader(kPageSize, commit, 2));
}

TEST(DecoderTest, TheRawFileOfTheseTestsIsGood) {
  EXPECT_EQ(ErrorOf(Incremental().Block(2, Fill('a')).Block(9, Fill('b')).Finish()), "(none)");
}

TEST(DecoderTest, PagesHaveToAscend) {
  EXPECT_THAT(ErrorOf(Incremental().Block(3, Fill('a')).Block(2, Fill('b')).Finish()),
              ::testing::HasSubstr("page 2 does not ascend"));
  EXPECT_THAT(ErrorOf(Incremental().Block(3, Fill('a')).Block(3, Fill('a')).Finish()),
              ::testing::HasSubstr("page 3 does not ascend"));
}

TEST(DecoderTest, PagesPastTheCommitSizeAreRefused) {
  EXPECT_THAT(ErrorOf(Incremental(4).Block(5, Fill('a')).Finish()),
              ::testing::HasSubstr("page 5 is past the commit size"));
}

TEST(DecoderTest, TheLockPageIsRefused) {
  RawFile file(IncrementalHeader(65536, 20000, 2));
  EXPECT_THAT(ErrorOf(file.Block(16385, Fill('a', 65536)).Finish()),
              ::testing::HasSubstr("page 16385 is the lock page"));
}

TEST(DecoderTest, SnapshotsAreComplete) {
  const auto snapshot = [] { return RawFile(SnapshotHeader(kPageSize, 3, 2)); };
  const Bytes page = Fill('a');
  EXPECT_EQ(ErrorOf(snapshot().Block(1, page).Block(2, page).Block(3, page).Finish()), "(none)");
  EXPECT_THAT(ErrorOf(snapshot().Block(1, page).Block(2, page).Finish()),
              ::testing::HasSubstr("ends at page 2 of 3"));
  EXPECT_THAT(ErrorOf(snapshot().Block(1, page).Block(3, page).Finish()),
              ::testing::HasSubstr("page 3 leaves a gap"));
  EXPECT_THAT(ErrorOf(snapshot().Block(2, page).Block(3, page).Finish()),
              ::testing::HasSubstr("page 2 leaves a gap"));
  EXPECT_THAT(ErrorOf(snapshot().Finish()), ::testing::HasSubstr("ends at page 0 of 3"));
}

TEST(DecoderTest, PagesDecompressToExactlyOnePage) {
  EXPECT_THAT(ErrorOf(Incremental().Block(2, Fill('a', 511)).Finish()),
              ::testing::HasSubstr("holds 511 bytes"));
  EXPECT_THAT(ErrorOf(Incremental().Block(2, Fill('a', 513)).Finish()),
              ::testing::HasSubstr("invalid LZ4 block"));
}

TEST(DecoderTest, TheSizePrefixIsBounded) {
  const Bytes payload(600);
  for (const std::uint32_t size : {0U, 600U, 0x7FFFFFFFU, 0xFFFFFFFFU}) {
    EXPECT_THAT(ErrorOf(Incremental().Frame(2, 1, payload, size, Fill('a')).Finish()),
                ::testing::HasSubstr("for a page of 512"))
        << size;
  }
}

TEST(DecoderTest, UnknownPageFlagsAreRefused) {
  EXPECT_THAT(ErrorOf(Incremental().Block(2, Fill('a'), 3).Finish()),
              ::testing::HasSubstr("unknown page flags"));
  EXPECT_THAT(ErrorOf(Incremental().Block(0, Fill('a'), 1).Finish()),
              ::testing::HasSubstr("page number 0"));
}

TEST(DecoderTest, TheIndexHasToMatchThePages) {
  const auto file = [] { return Incremental().Block(2, Fill('a')).Block(9, Fill('b')); };
  const std::vector<IndexEntry> good = file().index();
  const auto error = [&](auto change) {
    std::vector<IndexEntry> entries = good;
    change(entries);
    return ErrorOf(file().FinishWith(RawFile::SerializeIndex(entries)));
  };
  EXPECT_EQ(error([](auto&) {}), "(none)");
  const auto mismatch = ::testing::HasSubstr("the page index");
  EXPECT_THAT(error([](auto& e) { e[0].page_no = PageNo{3}; }), mismatch);
  EXPECT_THAT(error([](auto& e) { ++e[1].offset_bytes; }), mismatch);
  EXPECT_THAT(error([](auto& e) { --e[1].size_bytes; }), mismatch);
  EXPECT_THAT(error([](auto& e) { std::swap(e[0], e[1]); }), mismatch);
  EXPECT_NE(error([](auto& e) { e.pop_back(); }), "(none)");
  EXPECT_THAT(error([](auto& e) { e.push_back(e.back()); }), mismatch);

  Bytes entries = RawFile::SerializeIndex(good);
  EXPECT_THAT(ErrorOf(file().FinishWith(entries, entries.size() - 1)),
              ::testing::HasSubstr("wrong length field"));
  entries.back() = std::byte{1};
  EXPECT_THAT(ErrorOf(file().FinishWith(entries)), ::testing::HasSubstr("too many pages"));
  entries.back() = std::byte{0};
  entries[0] = std::byte{0x82};  // 2 as a varint of two bytes
  entries.insert(entries.begin() + 1, std::byte{0});
  EXPECT_THAT(ErrorOf(file().FinishWith(entries)), mismatch);
}

TEST(DecoderTest, TrailerRulesAreChecked) {
  EXPECT_THAT(ErrorOf(Incremental().Block(2, Fill('a')).Finish(kChecksumFlag | 5)),
              ::testing::HasSubstr("despite the no-checksum flag"));
  Header header = IncrementalHeader(kPageSize, 10, 2);
  header.has_ltx_checksums = true;
  header.pre_apply_checksum = kChecksumFlag | 1;
  const auto file = [&] { return RawFile(header).Block(2, Fill('a')); };
  EXPECT_EQ(ErrorOf(file().Finish(kChecksumFlag | 5)), "(none)");
  EXPECT_THAT(ErrorOf(file().Finish(0)), ::testing::HasSubstr("post-apply checksum is missing"));
  EXPECT_THAT(ErrorOf(file().Finish(5)), ::testing::HasSubstr("post-apply checksum is missing"));
}

TEST(DecoderTest, LtxChecksumOfASnapshotIsRecomputed) {
  Header header = SnapshotHeader(kPageSize, 2, 1);
  header.has_ltx_checksums = true;
  const auto file = [&] { return RawFile(header).Block(1, Fill('a')).Block(2, Fill('b')); };
  const std::uint64_t right =
      FoldLtxChecksum(LtxPageChecksum(PageNo{1}, Fill('a')), LtxPageChecksum(PageNo{2}, Fill('b')));
  EXPECT_EQ(ErrorOf(file().Finish(right)), "(none)");
  EXPECT_THAT(ErrorOf(file().Finish(right ^ 1)),
              ::testing::HasSubstr("post-apply checksum does not match"));
}

TEST(DecoderTest, EmptyDatabaseIsReadWithLtxChecksumsOnly) {
  Header header = SnapshotHeader(kPageSize, 0, 1);
  header.has_ltx_checksums = true;
  EXPECT_EQ(ErrorOf(RawFile(header).Finish(kChecksumFlag)), "(none)");
  EXPECT_NE(ErrorOf(RawFile(header).Finish(kChecksumFlag | 1)), "(none)");
  header.has_ltx_checksums = false;
  EXPECT_THAT(ErrorOf(RawFile(header).Finish()), ::testing::HasSubstr("commit size 0"));
}

TEST(DecoderTest, SnapshotHasToAddUpToItsChain) {
  Header header = SnapshotHeader(kPageSize, 2, 1);
  const PageMap pages{{PageNo{1}, Fill('a')}, {PageNo{2}, Fill('b')}};
  header.chain = Chain{.before = {}, .after = testing::SumOf(pages)};
  EXPECT_EQ(ErrorOf(RawFile(header).Block(1, Fill('a')).Block(2, Fill('b')).Finish()), "(none)");
  EXPECT_THAT(ErrorOf(RawFile(header).Block(1, Fill('b')).Block(2, Fill('a')).Finish()),
              ::testing::HasSubstr("add up to"));
}

TEST(DecoderTest, FullCopyIsCheckedAsASnapshotIs) {
  const PageMap pages{{PageNo{1}, Fill('a')}, {PageNo{2}, Fill('b')}};
  Header header = IncrementalHeader(kPageSize, 2, 7);
  header.chain = Chain{.before = {}, .after = testing::SumOf(pages)};
  EXPECT_EQ(ErrorOf(RawFile(header).Block(1, Fill('a')).Block(2, Fill('b')).Finish()), "(none)");
  EXPECT_THAT(ErrorOf(RawFile(header).Block(1, Fill('a')).Block(2, Fill('c')).Finish()),
              ::testing::HasSubstr("add up to"));
  EXPECT_THAT(ErrorOf(RawFile(header).Block(1, Fill('a')).Finish()),
              ::testing::HasSubstr("ends at page 1 of 2"));
  EXPECT_THAT(ErrorOf(RawFile(header).Block(2, Fill('b')).Finish()),
              ::testing::HasSubstr("leaves a gap"));
}

TEST(DecodePageFrameTest, DecodesWhatTheIndexNames) {
  for (const PageEncoding encoding : {PageEncoding::kBlock, PageEncoding::kFrame}) {
    const Bytes bytes = SmallFile(encoding);
    const DecodedFile file = Decode(bytes).value();
    for (const IndexEntry& entry : file.index) {
      const ByteView frame = ByteView(bytes).subspan(entry.offset_bytes, entry.size_bytes);
      Bytes page(kPageSize);
      ASSERT_TRUE(DecodePageFrame(entry, frame, page));
      EXPECT_EQ(page, file.pages.at(entry.page_no));

      IndexEntry other = entry;
      other.page_no = Next(entry.page_no);
      EXPECT_FALSE(DecodePageFrame(other, frame, page));
      other = entry;
      ++other.size_bytes;
      EXPECT_FALSE(DecodePageFrame(other, frame, page));
      for (std::size_t size = 0; size < frame.size(); ++size) {
        EXPECT_FALSE(DecodePageFrame(entry, frame.first(size), page)) << size;
      }
      Bytes longer(frame.begin(), frame.end());
      longer.push_back(std::byte{0});
      EXPECT_FALSE(DecodePageFrame(entry, longer, page));
    }
  }
}

}  // namespace
}  // namespace runnel::ltx
