#include "ltx/format.h"

#include <gtest/gtest.h>

#include <random>

#include "ltx/layout.h"
#include "ltx/testing.h"

namespace runnel::ltx {
namespace {

using testing::IncrementalHeader;
using testing::SnapshotHeader;

std::string ErrorOf(const Header& header) {
  const auto parsed = ParseHeader(SerializeHeader(header));
  return parsed ? "" : parsed.error().message();
}

TEST(HeaderTest, RoundTripsEveryField) {
  Header header = IncrementalHeader(65536, 0xFFFFFFFE, 0xFFFFFFFFFFFFFFFE);
  header.timestamp = WallTime(std::chrono::milliseconds(-1));
  header.wal = {
      .offset_bytes = 0x7FFFFFFFFFFFFFFF, .size_bytes = 0x7FFFFFFFFFFFFFFE, .salt1 = 1, .salt2 = 2};
  header.node_id = 3;
  header.chain = Chain{.before = DatabaseChecksum{4}, .after = DatabaseChecksum{5}};
  EXPECT_EQ(ParseHeader(SerializeHeader(header)).value(), header);

  header.has_ltx_checksums = true;
  header.pre_apply_checksum = kChecksumFlag | 6;
  EXPECT_EQ(ParseHeader(SerializeHeader(header)).value(), header);
}

TEST(HeaderTest, EveryRuleIsChecked) {
  const Header good = IncrementalHeader(4096, 10, 7);
  ASSERT_EQ(ErrorOf(good), "");
  const auto broken = [&](auto change) {
    Header header = good;
    change(header);
    return ErrorOf(header);
  };
  for (const std::uint32_t page_size : {0U, 256U, 1000U, 131072U, 1U << 31}) {
    EXPECT_NE(broken([&](Header& h) { h.page_size = page_size; }), "") << page_size;
  }
  EXPECT_NE(broken([](Header& h) { h.min_txid = Txid{0}; }), "");
  EXPECT_NE(broken([](Header& h) { h.max_txid = Txid{6}; }), "");
  EXPECT_NE(broken([](Header& h) { h.commit_pages = 0; }), "");
  EXPECT_NE(broken([](Header& h) { h.wal.size_bytes = 1; }), "");
  EXPECT_NE(broken([](Header& h) { h.wal.salt1 = 1; }), "");
  EXPECT_NE(broken([](Header& h) { h.wal.salt2 = 1; }), "");
  EXPECT_NE(broken([](Header& h) { h.wal.offset_bytes = 1ULL << 63; }), "");
  EXPECT_NE(broken([](Header& h) { h.wal = {.offset_bytes = 32, .size_bytes = 1ULL << 63}; }), "");
  EXPECT_NE(broken([](Header& h) { h.pre_apply_checksum = kChecksumFlag; }), "");
  EXPECT_NE(broken([](Header& h) { h.has_ltx_checksums = true; }), "");
  EXPECT_NE(broken([](Header& h) {
              h.has_ltx_checksums = true;
              h.pre_apply_checksum = 5;
            }),
            "");
  EXPECT_NE(broken([](Header& h) {
              h.min_txid = Txid{1};
              h.has_ltx_checksums = true;
              h.pre_apply_checksum = kChecksumFlag;
            }),
            "");
  EXPECT_NE(broken([](Header& h) {
              h.min_txid = Txid{1};
              h.chain = Chain{.before = DatabaseChecksum{1}, .after = {}};
            }),
            "");
}

TEST(HeaderTest, ReservedBytesWithoutTheTagAreIgnored) {
  auto bytes = SerializeHeader(IncrementalHeader(4096, 10, 7));
  for (std::size_t i = 80; i < bytes.size(); ++i) bytes[i] = std::byte{0xEE};
  const auto parsed = ParseHeader(bytes);
  ASSERT_TRUE(parsed);
  EXPECT_FALSE(parsed->chain);
}

TEST(HeaderTest, TruncatedAtEveryByteIsAnError) {
  const auto bytes = SerializeHeader(SnapshotHeader(4096, 10, 7));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(ParseHeader(ByteView(bytes).first(size))) << size;
  }
}

// The fixed fields have no redundancy, so a flipped bit may give another valid header; never the
// same one, apart from the reserved bytes of a header without a chain.
TEST(HeaderTest, EveryFlippedBitIsAnErrorOrSeen) {
  Header header = IncrementalHeader(4096, 10, 7);
  header.chain = Chain{.before = DatabaseChecksum{4}, .after = DatabaseChecksum{5}};
  const auto bytes = SerializeHeader(header);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    auto flipped = bytes;
    flipped[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    const auto parsed = ParseHeader(flipped);
    if (!parsed) continue;
    EXPECT_NE(*parsed, header) << "bit " << bit;
  }
}

TEST(LtxChecksumTest, KnowsTheVectorsOfTheGoLibrary) {
  const auto fold = [](std::initializer_list<char> fills, std::size_t page_size) {
    std::uint64_t folded = 0;
    std::uint32_t page_no = 0;
    for (const char fill : fills) {
      const Bytes page(page_size, static_cast<std::byte>(fill));
      folded = FoldLtxChecksum(folded, LtxPageChecksum(PageNo{++page_no}, page));
    }
    return folded;
  };
  EXPECT_EQ(fold({1, 2, 3}, 512), 0xEFFFFFFFECD99000U);
  EXPECT_EQ(fold({'2', '3'}, 1024), 0xE1899B6D587AAAAAU);
  EXPECT_EQ(LtxPageChecksum(PageNo{1}, Bytes(4096)), 0xD9328F592D9E733DU);
}

}  // namespace
}  // namespace runnel::ltx
