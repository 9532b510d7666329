#include "ltx/encoder.h"

#include <gtest/gtest.h>

#include "ltx/testing.h"

namespace runnel::ltx {
namespace {

using testing::BtreePage;
using testing::Decode;
using testing::Encode;
using testing::IncrementalHeader;
using testing::PageMap;
using testing::RandomPage;
using testing::SnapshotHeader;

constexpr std::uint32_t kPageSize = 512;

class FullDisk final : public ByteSink {
 public:
  explicit FullDisk(std::size_t room) : room_(room) {}
  Result<void> Append(ByteView bytes) override {
    if (bytes.size() > room_) return Fail(Errc::kNoSpace, "disk full");
    room_ -= bytes.size();
    return {};
  }

 private:
  std::size_t room_;
};

PageMap SomePages(std::uint64_t seed, std::uint32_t page_size, std::uint32_t count) {
  std::mt19937_64 random(seed);
  PageMap pages;
  for (std::uint32_t n = 1; n <= count; ++n) {
    pages[PageNo{n}] = n % 3 == 0   ? Bytes(page_size, std::byte{0x5A})
                       : n % 3 == 1 ? BtreePage(random, page_size)
                                    : RandomPage(random, page_size);
  }
  return pages;
}

TEST(EncoderTest, IncrementalFileWithoutPagesIsHeaderEndMarkerIndexTrailer) {
  const auto file = Encode(IncrementalHeader(kPageSize, 2, 2), {});
  ASSERT_TRUE(file);
  EXPECT_EQ(file->size(), kHeaderSize + kPageHeaderSize + 1 + kIndexLengthSize + kTrailerSize);
  EXPECT_TRUE(Decode(*file));
}

TEST(EncoderTest, RoundTripsEveryPageSizeInBothEncodings) {
  for (std::uint32_t page_size = kPageSizeMin; page_size <= kPageSizeMax; page_size *= 2) {
    for (const PageEncoding encoding : {PageEncoding::kBlock, PageEncoding::kFrame}) {
      const PageMap pages = SomePages(page_size, page_size, 20);
      Header header = SnapshotHeader(page_size, 20, 9);
      header.wal = {.offset_bytes = 32, .size_bytes = 5000, .salt1 = 7, .salt2 = 0xFFFFFFFF};
      header.node_id = 0x0123456789ABCDEF;
      header.chain = Chain{.before = {}, .after = testing::SumOf(pages)};
      const auto file = Encode(header, pages, {.encoding = encoding});
      ASSERT_TRUE(file) << file.error().message();
      const auto decoded = Decode(*file);
      ASSERT_TRUE(decoded) << decoded.error().message();
      EXPECT_EQ(decoded->header, header);
      EXPECT_EQ(decoded->pages, pages);
    }
  }
}

TEST(EncoderTest, BytesWrittenIsTheSizeOfTheFile) {
  VectorSink sink;
  Encoder encoder(sink, {});
  ASSERT_TRUE(encoder.WriteHeader(IncrementalHeader(kPageSize, 5000, 3)));
  std::mt19937_64 random(3);
  for (std::uint32_t n = 1; n <= 1000; ++n) {
    ASSERT_TRUE(encoder.WritePage(PageNo{n * 3}, RandomPage(random, kPageSize)));
  }
  EXPECT_LE(encoder.bytes_written() - sink.bytes().size(), 70000U);
  ASSERT_TRUE(encoder.Finish());
  EXPECT_EQ(encoder.bytes_written(), sink.bytes().size());
}

TEST(EncoderTest, KeepsFailingAfterTheSinkFailed) {
  const auto whole = Encode(SnapshotHeader(kPageSize, 400, 1), SomePages(1, kPageSize, 400));
  ASSERT_TRUE(whole);
  for (std::size_t room = 0; room < whole->size(); room += 997) {
    FullDisk sink(room);
    Encoder encoder(sink, {});
    std::optional<Error> first;
    const auto note = [&](const auto& result) {
      if (first) {
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error(), *first);
      } else if (!result) {
        first = result.error();
      }
    };
    note(encoder.WriteHeader(SnapshotHeader(kPageSize, 400, 1)));
    for (const auto& [n, page] : SomePages(1, kPageSize, 400)) note(encoder.WritePage(n, page));
    note(encoder.Finish());
    ASSERT_TRUE(first) << "room " << room;
    EXPECT_EQ(first->code(), Errc::kNoSpace);
    EXPECT_EQ(encoder.Finish().error(), *first);
  }
}

// Loses the last byte of what it was given.
class LossySpool final : public IndexSpool {
 public:
  Result<void> Append(ByteView bytes) override {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return {};
  }
  Result<void> CopyTo(ByteSink& sink) override {
    return sink.Append(ByteView(bytes_).first(bytes_.size() - 1));
  }

 private:
  Bytes bytes_;
};

TEST(EncoderTest, RefusesASpoolThatLosesBytes) {
  VectorSink sink;
  Encoder encoder(sink, {}, std::make_unique<LossySpool>());
  ASSERT_TRUE(encoder.WriteHeader(IncrementalHeader(kPageSize, 2, 2)));
  ASSERT_TRUE(encoder.WritePage(PageNo{2}, Bytes(kPageSize)));
  const auto trailer = encoder.Finish();
  ASSERT_FALSE(trailer);
  EXPECT_EQ(trailer.error().code(), Errc::kInternal);
}

TEST(EncoderTest, SnapshotWithoutItsLastPagesIsRefused) {
  const auto file = Encode(SnapshotHeader(kPageSize, 5, 1), SomePages(1, kPageSize, 4));
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code(), Errc::kCorruption);
  EXPECT_EQ(file.error().message(), "the file ends at page 4 of 5: page 5 is missing");
}

TEST(EncoderTest, SnapshotThatDoesNotAddUpToItsChainIsRefused) {
  PageMap pages = SomePages(1, kPageSize, 4);
  Header header = SnapshotHeader(kPageSize, 4, 1);
  header.chain = Chain{.before = {}, .after = testing::SumOf(pages)};
  ASSERT_TRUE(Encode(header, pages));
  std::swap(pages[PageNo{1}], pages[PageNo{2}]);
  const auto file = Encode(header, pages);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code(), Errc::kCorruption);
}

TEST(EncoderTest, SnapshotSkipsTheLockPage) {
  // 64 KiB pages have the nearest lock page: a database of 1 GiB and one page.
  constexpr std::uint32_t kBig = 65536;
  const std::uint32_t lock = ToInt(LockPage(kBig));
  const Bytes page(kBig, std::byte{1});
  for (const std::uint32_t commit : {lock - 1, lock, lock + 1}) {
    VectorSink sink;
    Encoder encoder(sink, {});
    ASSERT_TRUE(encoder.WriteHeader(SnapshotHeader(kBig, commit, 1)));
    for (std::uint32_t n = 1; n <= commit; ++n) {
      if (n != lock) ASSERT_TRUE(encoder.WritePage(PageNo{n}, page));
    }
    ASSERT_TRUE(encoder.Finish()) << commit;
    SpanSource source(sink.bytes());
    Decoder decoder(source);
    ASSERT_TRUE(decoder.ReadHeader());
    const auto finished = decoder.Finish();
    ASSERT_TRUE(finished) << finished.error().message();
  }
}

TEST(EncoderDeathTest, PagesThatTheHeaderDoesNotAllowAreABug) {
  const auto write = [](const Header& header, std::initializer_list<std::uint32_t> pages) {
    VectorSink sink;
    Encoder encoder(sink, {});
    (void)encoder.WriteHeader(header);
    for (const std::uint32_t n : pages) {
      (void)encoder.WritePage(PageNo{n}, Bytes(header.page_size));
    }
  };
  EXPECT_DEATH(write(SnapshotHeader(kPageSize, 3, 1), {1, 3}), "IsAllowed");
  EXPECT_DEATH(write(SnapshotHeader(kPageSize, 3, 1), {2}), "IsAllowed");
  EXPECT_DEATH(write(IncrementalHeader(kPageSize, 3, 2), {2, 2}), "IsAllowed");
  EXPECT_DEATH(write(IncrementalHeader(kPageSize, 3, 2), {0}), "IsAllowed");
  EXPECT_DEATH(write(IncrementalHeader(kPageSize, 3, 2), {4}), "IsAllowed");
  EXPECT_DEATH(write(IncrementalHeader(65536, 20000, 2), {16385}), "IsAllowed");
  Header empty = IncrementalHeader(kPageSize, 0, 2);
  EXPECT_DEATH(write(empty, {}), "parsed");
}

}  // namespace
}  // namespace runnel::ltx
