#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "base/byte_stream.h"
#include "base/crc64.h"
#include "base/ids.h"
#include "base/varint.h"

namespace runnel {
namespace {

TEST(Crc64Test, KnowsTheCheckValue) {
  Crc64 crc;
  crc.Update(AsBytes("123456789"));
  EXPECT_EQ(crc.value(), 0xB90956C775A41001U);
  EXPECT_EQ(UpdateCrc64Portable(0, AsBytes("123456789")), 0xB90956C775A41001U);
}

TEST(Crc64Test, PortableFormAgreesOnRandomInputInRandomPieces) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 200; ++round) {
    Bytes data(random() % 5000);
    for (std::byte& b : data) b = static_cast<std::byte>(random());
    Crc64 crc;
    std::uint64_t portable = 0;
    for (ByteView rest = data; !rest.empty();) {
      const std::size_t piece = 1 + random() % rest.size();
      crc.Update(rest.first(piece));
      portable = UpdateCrc64Portable(portable, rest.first(piece));
      rest = rest.subspan(piece);
    }
    ASSERT_EQ(crc.value(), portable) << "round " << round;
  }
}

TEST(VarintTest, RoundTripsAtEveryLength) {
  for (int shift = 0; shift < 64; ++shift) {
    for (const std::uint64_t value : {(1ULL << shift) - 1, 1ULL << shift, (1ULL << shift) + 1}) {
      Bytes bytes;
      AppendVarint(bytes, value);
      const auto parsed = ParseVarint(bytes);
      ASSERT_TRUE(parsed);
      EXPECT_EQ(parsed->value, value);
      EXPECT_EQ(parsed->size, bytes.size());
      EXPECT_FALSE(ParseVarint(ByteView(bytes).first(bytes.size() - 1)));
    }
  }
}

TEST(VarintTest, RefusesOverlongAndOversizedForms) {
  const Bytes overlong{std::byte{0x81}, std::byte{0x00}};
  EXPECT_FALSE(ParseVarint(overlong));
  Bytes oversized(9, std::byte{0xFF});
  oversized.push_back(std::byte{0x02});
  EXPECT_FALSE(ParseVarint(oversized));
}

TEST(TxidTest, TextIsSixteenHexDigits) {
  EXPECT_EQ(FormatTxid(Txid{0x1a}), "000000000000001a");
  EXPECT_EQ(ParseTxid("000000000000001A"), Txid{0x1a});
  EXPECT_EQ(ParseTxid(FormatTxid(Txid{std::numeric_limits<std::uint64_t>::max()})),
            Txid{std::numeric_limits<std::uint64_t>::max()});
  for (const char* bad : {"", "1a", "00000000000001a", "0000000000000001a", "000000000000001g",
                          "+00000000000001a", " 00000000000001a"}) {
    EXPECT_FALSE(ParseTxid(bad)) << bad;
  }
}

TEST(LockPageTest, HoldsByteTwoToTheThirty) {
  EXPECT_EQ(LockPage(512), PageNo{2097153});
  EXPECT_EQ(LockPage(4096), PageNo{262145});
  EXPECT_EQ(LockPage(65536), PageNo{16385});
}

TEST(ByteStreamTest, ReadExactlyFailsAtAnEarlyEnd) {
  SpanSource source(AsBytes("abc"));
  Bytes out(4);
  const auto read = ReadExactly(source, out);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), Errc::kCorruption);
}

TEST(ErrorTest, ContextGoesInFrontAndKeepsTheCode) {
  const Error error = Error(Errc::kNoSpace, "write: disk full").Context("segment 7");
  EXPECT_EQ(error.code(), Errc::kNoSpace);
  EXPECT_EQ(error.message(), "segment 7: write: disk full");
  EXPECT_TRUE(error.retryable());
}

}  // namespace
}  // namespace runnel
