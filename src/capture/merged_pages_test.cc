#include "capture/merged_pages.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "ltx/testing.h"
#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"

namespace runnel::capture {
namespace {

using Pages = std::map<std::uint32_t, Bytes>;

class MergedPagesTest : public ::testing::Test {
 protected:
  // What was captured: `pages`, in a database of `commit_pages` then.
  void Capture(const Pages& pages, std::uint32_t commit_pages) {
    segment_ = std::make_unique<Segment>(
        files_, "/segment", fs::Ownership{},
        SegmentStart{.page_size = page_size_, .txid = Txid{2}, .position = {}, .commit_pages = 1},
        SegmentLimits{});
    for (const auto& [page_no, page] : pages) {
      ASSERT_OK(segment_->AddPage(PageNo{page_no}, page));
    }
    segment_->Commit({.position = {}, .commit_pages = commit_pages});
  }

  // What a scan found.
  void Scan(const Pages& pages, std::uint32_t commit_pages) {
    ltx::testing::PageMap map;
    for (const auto& [page_no, page] : pages) map[PageNo{page_no}] = page;
    ASSERT_OK_AND_ASSIGN(
        spool_bytes_,
        ltx::testing::Encode(ltx::testing::IncrementalHeader(page_size_, commit_pages, 2), map));
    WriteSpool();
  }

  void WriteSpool() {
    ASSERT_OK_AND_ASSIGN(spool_, files_.Open("/spool", fs::OpenMode::kCreate));
    ASSERT_OK(spool_->Truncate(0));
    ASSERT_OK(spool_->WriteAt(0, spool_bytes_));
  }

  Bytes Page(char fill) const { return Bytes(page_size_, static_cast<std::byte>(fill)); }

  // All that come, in order.
  Result<Pages> Merge(std::uint32_t previous_commit_pages) {
    raw_.clear();
    const MergeInputs inputs{.segment = segment_.get(),
                             .scan_spool = spool_.get(),
                             .previous_commit_pages = previous_commit_pages,
                             .read_raw = [this](PageNo page_no, MutableBytes page) -> Result<void> {
                               if (raw_fails_) return Fail(Errc::kIo, "raw");
                               raw_.insert(ToInt(page_no));
                               std::ranges::fill(page, std::byte{'r'});
                               return {};
                             }};
    RUNNEL_TRY(const auto merged, MergedPages::Open(inputs));
    Pages pages;
    Bytes page(page_size_);
    std::uint32_t last = 0;
    for (;;) {
      RUNNEL_TRY(const auto next, merged->Next(page));
      if (!next) return pages;
      EXPECT_GT(ToInt(*next), last) << "not ascending";
      last = ToInt(*next);
      pages[last] = page;
    }
  }

  std::uint32_t page_size_ = 512;
  testing::ManualClock clock_;
  testing::MemoryFileSystem files_{clock_};
  std::unique_ptr<Segment> segment_;
  std::unique_ptr<fs::File> spool_;
  Bytes spool_bytes_;
  std::set<std::uint32_t> raw_;  // what was read of the database file
  bool raw_fails_ = false;
};

TEST_F(MergedPagesTest, WithoutAScanWhatWasCapturedComesInOrder) {
  Capture({{7, Page('7')}, {2, Page('2')}, {5, Page('5')}}, 9);
  ASSERT_OK_AND_ASSIGN(const Pages pages, Merge(9));
  EXPECT_TRUE(pages == (Pages{{2, Page('2')}, {5, Page('5')}, {7, Page('7')}}));
  EXPECT_TRUE(raw_.empty());
}

TEST_F(MergedPagesTest, NothingCapturedAndNothingFoundIsNoPage) {
  Capture({}, 9);
  Scan({}, 9);
  ASSERT_OK_AND_ASSIGN(const Pages pages, Merge(9));
  EXPECT_TRUE(pages.empty());
}

TEST_F(MergedPagesTest, OfAPageThatBothHaveTheCapturedOneCounts) {
  Capture({{2, Page('c')}, {4, Page('c')}}, 6);
  Scan({{1, Page('s')}, {2, Page('s')}, {4, Page('s')}, {6, Page('s')}}, 6);
  ASSERT_OK_AND_ASSIGN(const Pages pages, Merge(6));
  EXPECT_TRUE(pages == (Pages{{1, Page('s')}, {2, Page('c')}, {4, Page('c')}, {6, Page('s')}}));
}

TEST_F(MergedPagesTest, PagesPastTheEndOfADatabaseThatShrankDoNotCome) {
  Capture({{1, Page('c')}, {5, Page('c')}, {6, Page('c')}}, 5);
  Scan({{2, Page('s')}, {5, Page('s')}, {8, Page('s')}, {9, Page('s')}}, 9);
  ASSERT_OK_AND_ASSIGN(const Pages pages, Merge(9));
  EXPECT_TRUE(pages == (Pages{{1, Page('c')}, {2, Page('s')}, {5, Page('c')}}));
  EXPECT_TRUE(raw_.empty());
}

TEST_F(MergedPagesTest, ADatabaseThatGrewHasEveryNewPageThoughNobodyWroteIt) {
  Capture({{1, Page('c')}, {6, Page('c')}}, 8);
  ASSERT_OK_AND_ASSIGN(const Pages pages, Merge(4));
  EXPECT_TRUE(
      pages ==
      (Pages{{1, Page('c')}, {5, Page('r')}, {6, Page('c')}, {7, Page('r')}, {8, Page('r')}}));
  EXPECT_EQ(raw_, (std::set<std::uint32_t>{5, 7, 8}));
}

TEST_F(MergedPagesTest, GrowthThatTheScanFoundIsNotReadAgain) {
  Capture({{1, Page('c')}}, 5);
  Scan({{3, Page('s')}, {4, Page('s')}, {5, Page('s')}}, 5);
  ASSERT_OK_AND_ASSIGN(const Pages pages, Merge(2));
  EXPECT_EQ(pages.size(), 4U);
  EXPECT_TRUE(raw_.empty());
}

TEST_F(MergedPagesTest, TheLockPageNeverComes) {
  page_size_ = 65536;
  const std::uint32_t lock = ToInt(LockPage(page_size_));
  Capture({{lock - 1, Page('c')}, {lock, Page('x')}, {lock + 2, Page('c')}}, lock + 2);
  ASSERT_OK_AND_ASSIGN(const Pages pages, Merge(lock - 1));
  EXPECT_TRUE(pages ==
              (Pages{{lock - 1, Page('c')}, {lock + 1, Page('r')}, {lock + 2, Page('c')}}));
  EXPECT_EQ(raw_, (std::set<std::uint32_t>{lock + 1}));
}

TEST_F(MergedPagesTest, ADatabaseThatEndsWithTheLockPageOrRightBeforeIt) {
  page_size_ = 65536;
  const std::uint32_t lock = ToInt(LockPage(page_size_));
  for (const std::uint32_t commit : {lock - 1, lock}) {
    SCOPED_TRACE(commit);
    Capture({{1, Page('c')}}, commit);
    ASSERT_OK_AND_ASSIGN(const Pages pages, Merge(lock - 2));
    EXPECT_TRUE(pages == (Pages{{1, Page('c')}, {lock - 1, Page('r')}}));
  }
}

TEST_F(MergedPagesTest, AScanOfAnotherPageSizeIsRefused) {
  page_size_ = 1024;
  Scan({{1, Page('s')}}, 1);
  page_size_ = 512;
  Capture({{1, Page('c')}}, 1);
  EXPECT_FAILS(Errc::kCorruption, Merge(1));
}

// Even where nothing of the damaged part would come.
TEST_F(MergedPagesTest, AScanThatIsDamagedAnywhereIsRefusedBeforeTheEnd) {
  testing::SeededRandom random(4);
  Capture({{1, Page('c')}}, 2);
  Scan({{2, random.NextBytes(512)}, {7, random.NextBytes(512)}}, 9);
  ASSERT_OK(Merge(2));
  const Bytes whole = spool_bytes_;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    SCOPED_TRACE(at);
    spool_bytes_ = whole;
    spool_bytes_[at] ^= std::byte{0x20};
    WriteSpool();
    EXPECT_FAILS(Errc::kCorruption, Merge(2));
    ASSERT_FALSE(HasFailure());
  }
  for (std::size_t size = 0; size < whole.size(); size += 5) {
    SCOPED_TRACE(size);
    spool_bytes_.assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    WriteSpool();
    EXPECT_FAILS(Errc::kCorruption, Merge(2));
    ASSERT_FALSE(HasFailure());
  }
}

TEST_F(MergedPagesTest, APageThatCannotBeReadIsAnError) {
  Capture({{1, Page('c')}}, 3);
  raw_fails_ = true;
  EXPECT_FAILS(Errc::kIo, Merge(1));
}

TEST_F(MergedPagesTest, WhateverComesIsWhatAModelSays) {
  testing::SeededRandom random(11);
  for (int round = 0; round < 300; ++round) {
    SCOPED_TRACE(round);
    const auto below = [&](std::uint64_t n) { return static_cast<std::uint32_t>(random.Below(n)); };
    const std::uint32_t previous = below(20);
    const std::uint32_t commit = 1 + below(30);
    const std::uint32_t scanned = 1 + below(30);
    Pages captured;
    Pages found;
    for (std::uint32_t i = below(12); i > 0; --i) captured[1 + below(32)] = random.NextBytes(512);
    for (std::uint32_t i = below(12); i > 0; --i) found[1 + below(scanned)] = random.NextBytes(512);
    Pages expected;
    for (std::uint32_t page_no = previous + 1; page_no <= commit; ++page_no) {
      expected[page_no] = Page('r');
    }
    for (const auto& [page_no, page] : found) expected[page_no] = page;
    for (const auto& [page_no, page] : captured) expected[page_no] = page;
    expected.erase(expected.upper_bound(commit), expected.end());
    Capture(captured, commit);
    spool_.reset();
    if (round % 3 != 0) {
      Scan(found, scanned);
    } else {
      for (const auto& [page_no, page] : found) {
        if (captured.contains(page_no) || page_no > commit) continue;
        if (page_no > previous) {
          expected[page_no] = Page('r');
        } else {
          expected.erase(page_no);
        }
      }
    }
    ASSERT_OK_AND_ASSIGN(const Pages pages, Merge(previous));
    ASSERT_TRUE(pages == expected);
  }
}

}  // namespace
}  // namespace runnel::capture
