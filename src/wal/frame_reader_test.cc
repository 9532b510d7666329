#include "wal/frame_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "wal/testing.h"

namespace runnel::wal {
namespace {

using testing::WalWriter;

constexpr Salts kSalts{.salt1 = 0x01020304, .salt2 = 0xF0E0D0C0};

Bytes RandomPage(std::mt19937_64& random, std::uint32_t page_size) {
  Bytes page(page_size);
  for (std::byte& b : page) b = static_cast<std::byte>(random());
  return page;
}

// Frames of pages 1, 2, ...; every third ends a transaction.
Bytes SomeWal(ByteOrder order, std::uint32_t page_size, std::uint32_t frame_count,
              Salts salts = kSalts) {
  std::mt19937_64 random(page_size);
  WalWriter writer(order, page_size, salts, 1);
  for (std::uint32_t n = 1; n <= frame_count; ++n) {
    writer.Add(n, n % 3 == 0 ? n : 0, RandomPage(random, page_size));
  }
  return writer.bytes();
}

struct Walked {
  std::vector<Frame> frames;
  FrameEndReason end_reason{};
  Position position;
};

Walked WalkFrom(const Position& position, ByteView window) {
  FrameReader reader(position, window);
  Walked walked;
  while (const auto frame = reader.Next()) walked.frames.push_back(*frame);
  EXPECT_FALSE(reader.Next()) << "the end stays the end";
  walked.end_reason = reader.end_reason();
  walked.position = reader.position();
  return walked;
}

Walked Walk(ByteView wal) {
  return WalkFrom(Position::AfterHeader(ParseHeader(wal).value()), wal.subspan(kHeaderSize));
}

TEST(FrameReaderTest, RoundTripsBothOrdersAndEveryPageSize) {
  for (const ByteOrder order : {ByteOrder::kLittle, ByteOrder::kBig}) {
    for (std::uint32_t page_size = kPageSizeMin; page_size <= kPageSizeMax; page_size *= 2) {
      const Bytes wal = SomeWal(order, page_size, 7);
      const Walked walked = Walk(wal);
      ASSERT_EQ(walked.frames.size(), 7U);
      EXPECT_EQ(walked.end_reason, FrameEndReason::kEndOfWindow);
      EXPECT_EQ(walked.position.offset_bytes(), wal.size());
      std::mt19937_64 random(page_size);
      for (std::uint32_t n = 1; n <= 7; ++n) {
        const Frame& frame = walked.frames[n - 1];
        EXPECT_EQ(frame.frame_no, FrameNo{n});
        EXPECT_EQ(frame.page_no, PageNo{n});
        EXPECT_EQ(frame.IsCommit(), n % 3 == 0);
        EXPECT_TRUE(std::ranges::equal(frame.page, RandomPage(random, page_size)));
      }
    }
  }
}

TEST(FrameReaderTest, GoesOnFromAnyPosition) {
  const Bytes wal = SomeWal(ByteOrder::kBig, 512, 9);
  const Walked all = Walk(wal);
  Position position = Position::AfterHeader(ParseHeader(wal).value());
  for (std::size_t n = 0; n < 9; ++n) {
    const ByteView rest = ByteView(wal).subspan(position.offset_bytes());
    EXPECT_EQ(WalkFrom(position, rest).position, all.position);
    position = WalkFrom(position, rest.first(std::min(rest.size(), FrameSize(512) + n))).position;
    EXPECT_EQ(position.frame_no, FrameNo{static_cast<std::uint32_t>(n) + 1});
  }
}

TEST(FrameReaderTest, TruncatedAtEveryByteGivesTheWholeFramesBefore) {
  const Bytes wal = SomeWal(ByteOrder::kLittle, 512, 4);
  for (std::size_t size = kHeaderSize; size < wal.size(); ++size) {
    const Walked walked = Walk(ByteView(wal).first(size));
    EXPECT_EQ(walked.frames.size(), ToInt(LastFrameBefore(size, 512)));
    EXPECT_EQ(walked.end_reason, FrameEndReason::kEndOfWindow);
  }
}

TEST(FrameReaderTest, EveryFlippedBitEndsTheWalAtItsFrame) {
  for (const ByteOrder order : {ByteOrder::kLittle, ByteOrder::kBig}) {
    const Bytes wal = SomeWal(order, 512, 3);
    for (std::size_t bit = kHeaderSize * 8; bit < wal.size() * 8; ++bit) {
      Bytes flipped = wal;
      flipped[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      const Walked walked = Walk(flipped);
      const std::size_t in_frame = (bit / 8 - kHeaderSize) % FrameSize(512);
      ASSERT_EQ(walked.frames.size(), (bit / 8 - kHeaderSize) / FrameSize(512)) << "bit " << bit;
      const bool in_salts = in_frame >= 8 && in_frame < 16;
      EXPECT_EQ(walked.end_reason, in_salts ? FrameEndReason::kStale : FrameEndReason::kTorn);
    }
  }
}

TEST(FrameReaderTest, StopsAtFramesOfAnEarlierGeneration) {
  const Bytes old_wal = SomeWal(ByteOrder::kLittle, 512, 6, {.salt1 = 1, .salt2 = 2});
  const Bytes new_wal = SomeWal(ByteOrder::kLittle, 512, 2, {.salt1 = 2, .salt2 = 77});
  Bytes file = old_wal;
  std::ranges::copy(new_wal, file.begin());
  const Walked walked = Walk(file);
  EXPECT_EQ(walked.frames.size(), 2U);
  EXPECT_EQ(walked.end_reason, FrameEndReason::kStale);
}

TEST(FrameReaderTest, FrameOfTheSameGenerationInTheWrongPlaceIsTorn) {
  Bytes wal = SomeWal(ByteOrder::kLittle, 512, 3);
  const auto second = wal.begin() + static_cast<std::ptrdiff_t>(FrameOffset(FrameNo{2}, 512));
  std::swap_ranges(second, second + static_cast<std::ptrdiff_t>(FrameSize(512)),
                   second + static_cast<std::ptrdiff_t>(FrameSize(512)));
  const Walked walked = Walk(wal);
  EXPECT_EQ(walked.frames.size(), 1U);
  EXPECT_EQ(walked.end_reason, FrameEndReason::kTorn);
}

TEST(FrameVerifierTest, PageZeroIsNoFrameEvenWithARightChecksum) {
  WalWriter writer(ByteOrder::kLittle, 512, kSalts, 1);
  writer.Add(0, 1, Bytes(512));
  FrameVerifier verifier(ParseHeader(writer.bytes()).value());
  const Position before = verifier.position();
  EXPECT_EQ(verifier.Verify(ByteView(writer.bytes()).subspan(kHeaderSize)), FrameVerdict::kNoPage);
  EXPECT_EQ(verifier.position(), before);
}

}  // namespace
}  // namespace runnel::wal
