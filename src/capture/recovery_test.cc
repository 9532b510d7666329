#include "capture/recovery.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "ltx/encoder.h"
#include "testing/capturing_logger.h"
#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"
#include "wal/testing.h"

namespace runnel::capture {
namespace {

constexpr std::uint32_t kPageSize = 512;
constexpr wal::Salts kSalts{.salt1 = 7, .salt2 = 8};

// A WAL of five frames: pages 1, 2, 3 | 2, 4. The cut is made from those behind the bar.
class ForeignPositionTest : public ::testing::Test {
 protected:
  using Pages = std::map<std::uint32_t, Bytes>;

  static Bytes Page(int content) { return Bytes(kPageSize, std::byte(content)); }

  static Bytes WalOf(std::initializer_list<std::pair<std::uint32_t, int>> frames,
                     wal::Salts salts = kSalts) {
    wal::testing::WalWriter writer(ByteOrder::kLittle, kPageSize, salts, 1);
    for (const auto& [page_no, content] : frames) writer.Add(page_no, 4, Page(content));
    return writer.bytes();
  }

  // What is found with `wal` as the WAL and `pages` as the newest local file, of frames from behind
  // `begin` to `end`.
  std::optional<WalPosition> Find(const Bytes& wal_bytes, const Pages& pages,
                                  std::uint32_t begin = 3, std::uint32_t end = 5,
                                  std::uint32_t commit_pages = 4) {
    testing::MemoryFileSystem files(clock_);
    EXPECT_OK(files.CreateDirectories(paths_.runnel(), {}));
    auto staging = Staging::Open(files, paths_.cuts(), {}, log_).value();
    const std::uint64_t offset = wal::FrameEnd(FrameNo{begin}, kPageSize);
    const ltx::Header header{.page_size = kPageSize,
                             .commit_pages = commit_pages,
                             .min_txid = Txid{9},
                             .max_txid = Txid{9},
                             .wal = {.offset_bytes = offset,
                                     .size_bytes = wal::FrameEnd(FrameNo{end}, kPageSize) - offset,
                                     .salt1 = kSalts.salt1,
                                     .salt2 = kSalts.salt2}};
    EXPECT_OK(staging->Append(header, {}, [&](ltx::Encoder& encoder) -> Result<void> {
      for (const auto& [page_no, page] : pages) {
        RUNNEL_TRY_VOID(encoder.WritePage(PageNo{page_no}, page));
      }
      return {};
    }));
    Cutter cutter({.paths = paths_, .ownership = {}}, files, *staging, log_);
    const History history = cutter.Open().value();
    EXPECT_EQ(history.kind, HistoryKind::kForeign);
    auto wal = files.Open("/wal", fs::OpenMode::kCreate).value();
    EXPECT_OK(wal->WriteAt(0, wal_bytes));
    auto found = FindForeignPosition(*wal, history, *staging);
    EXPECT_OK(found);
    return found.value_or(std::nullopt);
  }

  const Bytes wal_ = WalOf({{1, 1}, {2, 2}, {3, 3}, {2, 20}, {4, 40}});
  const Pages cut_{{2, Page(20)}, {4, Page(40)}};

 private:
  StatePaths paths_{"/state"};
  testing::ManualClock clock_;
  testing::CapturingLogger log_;
};

TEST_F(ForeignPositionTest, IsWhereTheCutEndsIfItHasThePagesOfItsFrames) {
  const auto found = Find(wal_, cut_);
  ASSERT_TRUE(found);
  const wal::FrameHeader last =
      wal::ParseFrameHeader(ByteView(wal_).subspan(wal::FrameOffset(FrameNo{5}, kPageSize)));
  EXPECT_EQ(*found, (WalPosition{.salts = kSalts, .frame = FrameNo{5}, .checksum = last.checksum}));
  EXPECT_TRUE(Find(wal_, {{1, Page(1)}, {2, Page(20)}, {3, Page(3)}, {4, Page(40)}}, 0));
  EXPECT_TRUE(Find(wal_, {{1, Page(99)}, {2, Page(20)}, {4, Page(40)}})) << "grown into page 1";
}

TEST_F(ForeignPositionTest, IsNowhereIfAnyFrameHasAnotherPageThanTheCut) {
  EXPECT_FALSE(Find(wal_, {{2, Page(20)}, {4, Page(41)}})) << "the last frame";
  EXPECT_FALSE(Find(wal_, {{2, Page(21)}, {4, Page(40)}})) << "one before it";
  EXPECT_FALSE(Find(wal_, {{4, Page(40)}})) << "a page that is not in the cut";
  EXPECT_FALSE(Find(wal_, {{2, Page(20)}, {3, Page(3)}})) << "nor is the last one's";
  EXPECT_FALSE(Find(WalOf({{1, 1}, {2, 2}, {3, 3}, {3, 20}, {4, 40}}), cut_));
}

TEST_F(ForeignPositionTest, IsNowhereIfTheFramesAreGone) {
  for (std::uint32_t frames = 0; frames < 5; ++frames) {
    Bytes shorter = wal_;
    shorter.resize(wal::FrameEnd(FrameNo{frames}, kPageSize));
    EXPECT_FALSE(Find(shorter, cut_)) << frames;
  }
  EXPECT_FALSE(
      Find(WalOf({{1, 1}, {2, 2}, {3, 3}, {2, 20}, {4, 40}}, {.salt1 = 8, .salt2 = 8}), cut_));
  // A newer generation that has come as far as into the cut.
  Bytes restarted = wal_;
  const Bytes newer = WalOf({{1, 1}, {2, 2}, {3, 3}, {2, 20}}, {.salt1 = 8, .salt2 = 9});
  std::ranges::copy(newer, restarted.begin());
  EXPECT_FALSE(Find(restarted, cut_));
}

TEST_F(ForeignPositionTest, PagesThatTheCutCutsOffAreNotAskedFor) {
  EXPECT_TRUE(
      Find(WalOf({{1, 1}, {2, 2}, {4, 3}, {2, 20}}), {{1, Page(1)}, {2, Page(20)}}, 0, 4, 2));
}

TEST_F(ForeignPositionTest, IsNowhereForACutWithoutFrames) {
  EXPECT_FALSE(Find(wal_, cut_, 0, 0));
  EXPECT_FALSE(Find(wal_, cut_, 5, 5));
}

}  // namespace
}  // namespace runnel::capture
