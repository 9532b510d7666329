#include "wal/format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "wal/testing.h"

namespace runnel::wal {
namespace {

using testing::WalWriter;

constexpr Salts kSalts{.salt1 = 0x01020304, .salt2 = 0xF0E0D0C0};

TEST(ChecksumTest, AgreesWithThePlainLoopInAnyPieces) {
  std::mt19937_64 random(1);
  for (const ByteOrder order : {ByteOrder::kLittle, ByteOrder::kBig}) {
    for (std::size_t words = 0; words < 70; ++words) {
      Bytes data(words * 8);
      for (std::byte& b : data) b = static_cast<std::byte>(random());
      Checksum plain{.s1 = 7, .s2 = 0xFFFFFFFF};
      const Checksum start = plain;
      for (std::size_t i = 0; i < data.size(); i += 8) {
        plain.s1 += GetInt<std::uint32_t>(data, i, order) + plain.s2;
        plain.s2 += GetInt<std::uint32_t>(data, i + 4, order) + plain.s1;
      }
      EXPECT_EQ(UpdateChecksum(start, data, order), plain);
      const std::size_t cut = words == 0 ? 0 : random() % words * 8;
      const Checksum half = UpdateChecksum(start, ByteView(data).first(cut), order);
      EXPECT_EQ(UpdateChecksum(half, ByteView(data).subspan(cut), order), plain);
    }
  }
}

TEST(WalHeaderTest, RoundTripsBothOrdersAndEveryPageSize) {
  for (const ByteOrder order : {ByteOrder::kLittle, ByteOrder::kBig}) {
    for (std::uint32_t page_size = kPageSizeMin; page_size <= kPageSizeMax; page_size *= 2) {
      const Bytes bytes = WalWriter(order, page_size, kSalts, 9).bytes();
      const auto header = ParseHeader(bytes);
      ASSERT_TRUE(header) << header.error().message();
      EXPECT_EQ(header->checksum_order, order);
      EXPECT_EQ(header->page_size, page_size);
      EXPECT_EQ(header->checkpoint_seq, 9U);
      EXPECT_EQ(header->salts, kSalts);
    }
  }
}

TEST(WalHeaderTest, TruncatedAtEveryByteIsAnError) {
  const Bytes bytes = WalWriter(ByteOrder::kBig, 4096, kSalts, 0).bytes();
  for (std::size_t size = 0; size < kHeaderSize; ++size) {
    EXPECT_FALSE(ParseHeader(ByteView(bytes).first(size))) << size;
  }
}

TEST(WalHeaderTest, EveryFlippedBitIsAnError) {
  for (const ByteOrder order : {ByteOrder::kLittle, ByteOrder::kBig}) {
    const Bytes bytes = WalWriter(order, 4096, kSalts, 0).bytes();
    for (std::size_t bit = 0; bit < kHeaderSize * 8; ++bit) {
      Bytes flipped = bytes;
      flipped[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      const auto header = ParseHeader(flipped);
      ASSERT_FALSE(header) << "bit " << bit;
      EXPECT_EQ(header.error().code(), Errc::kCorruption);
    }
  }
}

TEST(WalHeaderTest, PageSizeIsCheckedBesideTheChecksum) {
  for (const std::uint32_t page_size : {0U, 1U, 256U, 1000U, 131072U}) {
    const auto header = ParseHeader(WalWriter(ByteOrder::kLittle, page_size, kSalts, 0).bytes());
    ASSERT_FALSE(header);
    EXPECT_THAT(header.error().message(), ::testing::HasSubstr("page size"));
  }
}

TEST(FrameOffsetTest, IsRightUpToTheLargestWal) {
  EXPECT_EQ(FrameOffset(FrameNo{1}, 4096), 32U);
  EXPECT_EQ(FrameOffset(FrameNo{2}, 4096), 32U + 4120U);
  EXPECT_EQ(FrameEnd(FrameNo{0}, 4096), 32U);
  constexpr FrameNo kLast{0xFFFFFFFF};
  EXPECT_EQ(FrameEnd(kLast, 65536), 32U + 0xFFFFFFFFULL * 65560U);
  EXPECT_EQ(FrameOffset(kLast, 65536) + FrameSize(65536), FrameEnd(kLast, 65536));
}

TEST(FrameOffsetTest, LastFrameBeforeIsTheInverse) {
  EXPECT_EQ(LastFrameBefore(0, 512), FrameNo{0});
  EXPECT_EQ(LastFrameBefore(31, 512), FrameNo{0});
  for (const std::uint32_t n : {0U, 1U, 2U, 1000U, 0xFFFFFFFEU}) {
    const std::uint64_t end = FrameEnd(FrameNo{n}, 512);
    EXPECT_EQ(LastFrameBefore(end, 512), FrameNo{n});
    EXPECT_EQ(LastFrameBefore(end + 535, 512), FrameNo{n});
    EXPECT_EQ(LastFrameBefore(end + 536, 512), FrameNo{n + 1});
  }
  EXPECT_EQ(LastFrameBefore(~std::uint64_t{0}, 512), FrameNo{0xFFFFFFFF});
}

}  // namespace
}  // namespace runnel::wal
