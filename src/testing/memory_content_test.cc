#include "testing/memory_content.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "testing/seeded_random.h"

namespace runnel::testing {
namespace {

constexpr Survival kNothing{0};
constexpr Survival kHalf{2};
constexpr Survival kEverything{kSurvivalMax};

std::string Text(const MemoryContent& content) {
  Bytes bytes(static_cast<std::size_t>(content.size()));
  EXPECT_EQ(content.Read(0, bytes), bytes.size());
  return std::string(AsText(bytes));
}

std::string Filled(std::size_t size, char c) { return std::string(size, c); }

TEST(MemoryContentTest, WhatIsSyncedSurvivesAnyPowerLoss) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    SeededRandom random(seed);
    MemoryContent content;
    content.Write(0, AsBytes(Filled(5000, 'a')));
    content.Truncate(3000);
    content.Write(100, AsBytes(Filled(700, 'b')));
    content.Sync();
    const std::string synced = Text(content);
    content.LosePower(random, static_cast<Survival>(seed % (kSurvivalMax + 1)));
    ASSERT_EQ(Text(content), synced) << "seed " << seed;
  }
}

TEST(MemoryContentTest, WithoutSyncAllIsLostWhenNothingSurvives) {
  SeededRandom random(1);
  MemoryContent content;
  content.Write(0, AsBytes("durable"));
  content.Sync();
  content.Write(0, AsBytes("changed and longer"));
  content.LosePower(random, kNothing);
  EXPECT_EQ(Text(content), "durable");
}

TEST(MemoryContentTest, AnUnsyncedTruncateCanBeUndone) {
  SeededRandom random(1);
  MemoryContent content;
  const std::string before = Filled(9000, 'x');
  content.Write(0, AsBytes(before));
  content.Sync();
  content.Truncate(10);
  content.LosePower(random, kNothing);
  EXPECT_EQ(Text(content), before);
}

TEST(MemoryContentTest, EverythingMaySurvive) {
  SeededRandom random(1);
  MemoryContent content;
  content.Write(0, AsBytes("first"));
  content.Write(2, AsBytes("second"));
  content.LosePower(random, kEverything);
  EXPECT_EQ(Text(content), "fisecond");
}

TEST(MemoryContentTest, SectorsAreTornFromEachOtherAndNeverInside) {
  SeededRandom random(7);
  constexpr std::size_t kSectors = 8;
  constexpr std::size_t kSize = kSectors * MemoryContent::kSectorBytes;
  std::set<std::string> patterns;
  for (int round = 0; round < 200; ++round) {
    MemoryContent content;
    content.Write(0, AsBytes(Filled(kSize, 'o')));
    content.Sync();
    content.Write(0, AsBytes(Filled(kSize, 'n')));
    content.LosePower(random, kHalf);
    const std::string text = Text(content);
    ASSERT_EQ(text.size(), kSize);
    std::string pattern;
    for (std::size_t s = 0; s < kSectors; ++s) {
      const std::string sector =
          text.substr(s * MemoryContent::kSectorBytes, MemoryContent::kSectorBytes);
      ASSERT_EQ(sector, Filled(MemoryContent::kSectorBytes, sector[0]));
      pattern += sector[0];
    }
    patterns.insert(pattern);
  }
  // Any subset, not just prefixes: 200 draws of 256 patterns give about 138 different ones.
  EXPECT_GT(patterns.size(), 100U);
}

TEST(MemoryContentTest, AnAppendCanLeaveItsSizeWithoutItsBytes) {
  SeededRandom random(3);
  bool size_without_bytes = false;
  for (int round = 0; round < 100; ++round) {
    MemoryContent content;
    content.Write(0, AsBytes(Filled(512, 'a')));
    content.LosePower(random, kHalf);
    if (Text(content) == std::string(512, '\0')) size_without_bytes = true;
  }
  EXPECT_TRUE(size_without_bytes);
}

TEST(MemoryContentTest, AnIntermediateValueCanBeWhatIsLeft) {
  SeededRandom random(4);
  std::set<std::string> seen;
  for (int round = 0; round < 200; ++round) {
    MemoryContent content;
    content.Write(0, AsBytes("1"));
    content.Sync();
    content.Write(0, AsBytes("2"));
    content.Write(0, AsBytes("3"));
    content.LosePower(random, kHalf);
    seen.insert(Text(content));
  }
  EXPECT_EQ(seen, (std::set<std::string>{"1", "2", "3"}));
}

TEST(MemoryContentTest, ReadsWhatAPlainBufferWouldHold) {
  SeededRandom random(5);
  MemoryContent content;
  std::string model;
  for (int round = 0; round < 500; ++round) {
    const std::size_t offset = random.Below(20'000);
    if (random.Below(4) == 0) {
      content.Truncate(offset);
      model.resize(offset, '\0');
    } else {
      const std::string piece = Filled(random.Below(3000), static_cast<char>('a' + round % 26));
      content.Write(offset, AsBytes(piece));
      if (!piece.empty() && model.size() < offset + piece.size()) {
        model.resize(offset + piece.size(), '\0');
      }
      if (!piece.empty()) model.replace(offset, piece.size(), piece);
    }
    if (random.Below(10) == 0) content.Sync();
    ASSERT_EQ(Text(content), model) << "round " << round;
  }
}

TEST(MemoryContentTest, IsSparseAndCountsItsBlocks) {
  MemoryContent content;
  content.Write(std::uint64_t{1} << 40, AsBytes("far"));
  EXPECT_EQ(content.block_count(), 1U);
  EXPECT_EQ(content.FitInto(0, std::uint64_t{1} << 40, 4096), 4096U);
  EXPECT_EQ(content.FitInto(0, 0, 10), 0U);
  EXPECT_EQ(content.FitInto(1, 4000, 200), 96U);
  content.Truncate(0);
  EXPECT_EQ(content.block_count(), 0U);
}

}  // namespace
}  // namespace runnel::testing
