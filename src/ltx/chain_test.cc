// What the chain has to see, and why LTX's own database checksum (the XOR of the pages' CRCs)
// could not be the chain: a CRC is linear, so that differences cancel out.

#include "ltx/chain.h"

#include <gtest/gtest.h>

#include "ltx/layout.h"
#include "ltx/testing.h"

namespace runnel::ltx {
namespace {

using testing::PageMap;
using testing::RandomPage;
using testing::SumOf;

constexpr std::uint32_t kPageSize = 4096;

std::uint64_t LtxChecksumOf(const PageMap& pages) {
  std::uint64_t folded = 0;
  for (const auto& [page_no, page] : pages) {
    folded = FoldLtxChecksum(folded, LtxPageChecksum(page_no, page));
  }
  return folded;
}

PageMap RandomDatabase(std::uint32_t page_count) {
  std::mt19937_64 random(page_count);
  PageMap pages;
  for (std::uint32_t n = 1; n <= page_count; ++n) pages[PageNo{n}] = RandomPage(random, kPageSize);
  return pages;
}

TEST(ChainTest, SeesSwappedPages) {
  const PageMap before = RandomDatabase(8);
  PageMap after = before;
  std::swap(after[PageNo{3}], after[PageNo{6}]);
  EXPECT_NE(SumOf(after), SumOf(before));
  EXPECT_EQ(LtxChecksumOf(after), LtxChecksumOf(before)) << "LTX's own would have been enough";
}

TEST(ChainTest, SeesTheSameChangeOfTwoPages) {
  const PageMap before = RandomDatabase(8);
  PageMap after = before;
  for (const PageNo n : {PageNo{2}, PageNo{7}}) {
    for (std::size_t i = 100; i < 140; ++i) after[n][i] ^= std::byte{0x5A};
  }
  EXPECT_NE(SumOf(after), SumOf(before));
  EXPECT_EQ(LtxChecksumOf(after), LtxChecksumOf(before)) << "LTX's own would have been enough";
}

// Pages 2 and 7 are equal; a change was meant for one of them and was made to the other.
TEST(ChainTest, SeesThatTheWrongOneOfTwoEqualPagesWasChanged) {
  PageMap base = RandomDatabase(8);
  base[PageNo{7}] = base[PageNo{2}];
  PageMap meant = base;
  PageMap made = base;
  meant[PageNo{2}][99] ^= std::byte{1};
  made[PageNo{7}][99] ^= std::byte{1};
  EXPECT_NE(SumOf(made), SumOf(meant));
  EXPECT_EQ(LtxChecksumOf(made), LtxChecksumOf(meant)) << "LTX's own would have been enough";
}

TEST(ChainTest, ZeroPagesCount) {
  const Bytes zeros(kPageSize);
  ChainSum one;
  one.Add(PageChecksum(PageNo{1}, zeros));
  ChainSum two = one;
  two.Add(PageChecksum(PageNo{2}, zeros));
  EXPECT_NE(one.value(), ChainSum().value());
  EXPECT_NE(two.value(), one.value());
}

TEST(ChainTest, ChangesAddUpInAnyOrder) {
  const PageMap before = RandomDatabase(6);
  PageMap after = before;
  after.erase(PageNo{6});
  after[PageNo{1}] = Bytes(kPageSize, std::byte{9});
  ChainSum sum(SumOf(before));
  sum.Add(PageChecksum(PageNo{1}, after.at(PageNo{1})));
  sum.Remove(PageChecksum(PageNo{6}, before.at(PageNo{6})));
  sum.Remove(PageChecksum(PageNo{1}, before.at(PageNo{1})));
  EXPECT_EQ(sum.value(), SumOf(after));
}

// Replicas in the world depend on these values.
TEST(ChainTest, PageChecksumsNeverChange) {
  EXPECT_EQ(PageChecksum(PageNo{1}, Bytes(512)), 0x8A3B11577F6F69DBU);
  EXPECT_EQ(PageChecksum(PageNo{2}, Bytes(4096, std::byte{'A'})), 0x388F3BE49BD36FF9U);
  EXPECT_EQ(PageChecksum(PageNo{16386}, Bytes(65536, std::byte{0xFF})), 0xCDFEE7057D15BEE5U);
}

}  // namespace
}  // namespace runnel::ltx
