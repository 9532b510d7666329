#include "capture/segment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "testing/fault_file_system.h"
#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"

namespace runnel::capture {
namespace {

constexpr std::uint32_t kPageSize = 512;
const fs::Path kPath = "/segment-1";

WalPosition PositionOf(std::uint32_t frame) {
  return {.salts = {.salt1 = 7, .salt2 = 8},
          .frame = FrameNo{frame},
          .checksum = {.s1 = frame * 3, .s2 = frame * 5}};
}

using Pages = std::map<std::uint32_t, Bytes>;

class SegmentTest : public ::testing::Test {
 protected:
  static SegmentStart StartAt(std::uint32_t frame) {
    return {
        .page_size = kPageSize, .txid = Txid{1}, .position = PositionOf(frame), .commit_pages = 9};
  }

  std::unique_ptr<Segment> NewSegment(fs::FileSystem& files, const SegmentLimits& limits = {},
                                      std::uint32_t start_frame = 0) {
    return std::make_unique<Segment>(files, kPath, fs::Ownership{}, StartAt(start_frame), limits);
  }

  // One commit that ends at `frame`; `pages` is told of it.
  void AddCommit(Segment& segment, std::uint32_t frame, int page_count, Pages& pages) {
    for (int i = 0; i < page_count; ++i) {
      const auto page_no = static_cast<std::uint32_t>(1 + random_.Below(40));
      pages[page_no] = random_.NextBytes(kPageSize);
      ASSERT_OK(segment.AddPage(PageNo{page_no}, pages[page_no]));
    }
    segment.Commit({.position = PositionOf(frame), .commit_pages = 40});
  }

  static Pages ContentOf(const Segment& segment) {
    Pages pages;
    auto cursor = segment.Walk();
    Bytes page(kPageSize);
    std::uint32_t last = 0;
    for (;;) {
      auto place = cursor.Next();
      EXPECT_TRUE(testing::IsOk(place));
      if (!place || !*place) return pages;
      EXPECT_GT(ToInt((*place)->page_no), last);
      last = ToInt((*place)->page_no);
      EXPECT_TRUE(testing::IsOk(segment.ReadPage(**place, page)));
      pages[last] = page;
    }
  }

  Result<std::unique_ptr<Segment>> Recover(fs::FileSystem& files) {
    return Segment::Recover(files, kPath, {}, {});
  }

  // A segment of `commits` flushed commits; content and end after each of them.
  struct Flushed {
    std::vector<Pages> content;
    std::vector<std::uint64_t> size_bytes;
    Bytes file;
  };
  Flushed WriteFlushed(std::uint32_t commits, std::uint32_t start_frame = 0) {
    Flushed flushed;
    auto segment = NewSegment(files_, {}, start_frame);
    Pages pages;
    for (std::uint32_t i = 1; i <= commits; ++i) {
      AddCommit(*segment, start_frame + i, 3, pages);
      EXPECT_TRUE(testing::IsOk(segment->Flush()));
      flushed.content.push_back(pages);
      flushed.size_bytes.push_back(segment->size_bytes());
    }
    auto file = files_.Open(kPath, fs::OpenMode::kRead);
    flushed.file.resize(segment->size_bytes());
    EXPECT_TRUE(testing::IsOk((*file)->ReadAt(0, flushed.file)));
    return flushed;
  }

  void Replace(ByteView bytes) {
    ASSERT_OK_AND_ASSIGN(auto file, files_.Open(kPath, fs::OpenMode::kCreate));
    ASSERT_OK(file->Truncate(0));
    ASSERT_OK(file->WriteAt(0, bytes));
  }

  // Whole commits, from the first one on, as many as `commits` says.
  void ExpectRecovered(const Flushed& flushed, std::size_t commits) {
    ASSERT_OK_AND_ASSIGN(const auto segment, Recover(files_));
    ASSERT_EQ(segment != nullptr, commits > 0);
    if (commits == 0) return;
    EXPECT_EQ(segment->end().position, PositionOf(static_cast<std::uint32_t>(commits)));
    EXPECT_TRUE(ContentOf(*segment) == flushed.content[commits - 1]);
  }

  testing::ManualClock clock_;
  testing::MemoryFileSystem files_{clock_};
  testing::SeededRandom random_{20};
};

TEST_F(SegmentTest, SmallOneNeverTouchesTheDisk) {
  auto segment = NewSegment(files_);
  Pages pages;
  AddCommit(*segment, 5, 10, pages);
  EXPECT_TRUE(ContentOf(*segment) == pages);
  EXPECT_FAILS(Errc::kNotFound, files_.Stat(kPath));
}

TEST_F(SegmentTest, PageThatIsWrittenAgainInMemoryTakesNoMoreRoom) {
  auto segment = NewSegment(files_);
  Bytes page(kPageSize);
  ASSERT_OK(segment->AddPage(PageNo{3}, page));
  const std::uint64_t size = segment->size_bytes();
  page[0] = std::byte{1};
  ASSERT_OK(segment->AddPage(PageNo{3}, page));
  EXPECT_EQ(segment->size_bytes(), size);
  segment->Commit({.position = PositionOf(2), .commit_pages = 9});
  EXPECT_EQ(ContentOf(*segment).at(3), page);
}

TEST_F(SegmentTest, OneLargerThanItsMemoryReadsBackTheNewestCopies) {
  auto segment = NewSegment(files_, {.buffer_bytes = 2000, .table_entries = 4});
  Pages pages;
  for (std::uint32_t i = 1; i <= 30; ++i) AddCommit(*segment, i, 7, pages);
  EXPECT_TRUE(ContentOf(*segment) == pages);
  ASSERT_OK(segment->Flush());
  EXPECT_TRUE(ContentOf(*segment) == pages);
  ASSERT_OK_AND_ASSIGN(const auto recovered, Recover(files_));
  EXPECT_TRUE(ContentOf(*recovered) == pages);
  ASSERT_OK(segment->Remove());
  ASSERT_OK_AND_ASSIGN(const auto left, files_.List("/"));
  EXPECT_TRUE(left.empty());
}

TEST_F(SegmentTest, RecoveredOneGoesOn) {
  Flushed flushed = WriteFlushed(3);
  Pages pages = flushed.content.back();
  {
    ASSERT_OK_AND_ASSIGN(const auto segment, Recover(files_));
    AddCommit(*segment, 4, 5, pages);
    ASSERT_OK(segment->Flush());
  }
  ASSERT_OK_AND_ASSIGN(const auto segment, Recover(files_));
  EXPECT_EQ(segment->end().position, PositionOf(4));
  EXPECT_TRUE(ContentOf(*segment) == pages);
}

TEST_F(SegmentTest, TruncatedAtEveryByteKeepsTheCommitsBefore) {
  const Flushed flushed = WriteFlushed(3);
  for (std::size_t size = 0; size <= flushed.file.size(); ++size) {
    SCOPED_TRACE(size);
    Replace(ByteView(flushed.file).first(size));
    const auto whole = std::ranges::upper_bound(flushed.size_bytes, size);
    ExpectRecovered(flushed, static_cast<std::size_t>(whole - flushed.size_bytes.begin()));
    if (HasFailure()) return;
  }
}

TEST_F(SegmentTest, FlippedBitEndsItBeforeTheCommitThatHasIt) {
  const Flushed flushed = WriteFlushed(3);
  for (std::size_t at = 0; at < flushed.file.size(); ++at) {
    SCOPED_TRACE(at);
    Bytes damaged = flushed.file;
    damaged[at] ^= std::byte{0x10};
    Replace(damaged);
    constexpr std::size_t kVersionAt = 6;
    if (at == kVersionAt || at == kVersionAt + 1) {
      EXPECT_FAILS(Errc::kUnsupported, Recover(files_));
      continue;
    }
    const auto whole = std::ranges::upper_bound(flushed.size_bytes, at);
    const bool in_header = at < 64;
    ExpectRecovered(flushed,
                    in_header ? 0 : static_cast<std::size_t>(whole - flushed.size_bytes.begin()));
    if (HasFailure()) return;
  }
}

TEST_F(SegmentTest, StretchThatAnOlderFileOfTheNameLeftIsNotTakenForOneOfThis) {
  const Flushed old = WriteFlushed(2);
  ASSERT_OK(files_.Remove(kPath));
  {
    auto segment = NewSegment(files_, {}, 100);
    Pages pages;
    AddCommit(*segment, 101, 3, pages);
    ASSERT_OK(segment->Flush());
  }
  // What a power loss makes of it: the new header, before sectors of the old file.
  ASSERT_OK_AND_ASSIGN(auto file, files_.Open(kPath, fs::OpenMode::kReadWrite));
  ASSERT_OK(file->WriteAt(64, ByteView(old.file).subspan(64)));
  ASSERT_OK_AND_ASSIGN(const auto segment, Recover(files_));
  EXPECT_EQ(segment, nullptr);
}

TEST_F(SegmentTest, PowerLossLeavesWholeCommitsOrNothing) {
  int recovered = 0;
  std::map<std::uint32_t, Flushed> written;  // by where they start: an earlier one may come back
  for (std::uint32_t round = 0; round < 200; ++round) {
    SCOPED_TRACE(round);
    written[round * 10] = WriteFlushed(4, round * 10);
    files_.PowerLoss(random_);
    ASSERT_OK_AND_ASSIGN(const auto segment, Recover(files_));
    if (segment) {
      const std::uint32_t start = ToInt(segment->start().position.frame);
      const std::uint32_t commits = ToInt(segment->end().position.frame) - start;
      ASSERT_TRUE(written.contains(start) && commits >= 1 && commits <= 4);
      EXPECT_TRUE(ContentOf(*segment) == written[start].content[commits - 1]);
      ++recovered;
    }
    if (files_.Stat(kPath)) ASSERT_OK(files_.Remove(kPath));
    if (HasFailure()) return;
  }
  EXPECT_GT(recovered, 10);
}

// Whatever fails and is repeated, the file tells the whole story in the end.
TEST_F(SegmentTest, EveryCallThatFailsOnceMayBeRepeated) {
  for (const auto effect : {testing::FileFault::Effect::kNone, testing::FileFault::Effect::kPartial,
                            testing::FileFault::Effect::kWhole}) {
    for (std::uint64_t n = 1;; ++n) {
      SCOPED_TRACE(n);
      testing::FaultFileSystem faults(files_);
      faults.CountOnly([](const auto& call) { return testing::IsMutating(call.call); });
      faults.FailAt(n, {.code = Errc::kNoSpace, .effect = effect});
      Pages pages;
      {
        auto segment = NewSegment(faults, {.buffer_bytes = 3000, .table_entries = 5});
        for (std::uint32_t commit = 1; commit <= 4; ++commit) {
          std::map<std::uint32_t, Bytes> frames;
          for (int i = 0; i < 9; ++i) {
            frames[static_cast<std::uint32_t>(1 + random_.Below(40))] =
                random_.NextBytes(kPageSize);
          }
          const auto capture = [&]() -> Result<void> {
            for (const auto& [page_no, page] : frames) {
              RUNNEL_TRY_VOID(segment->AddPage(PageNo{page_no}, page));
            }
            segment->Commit({.position = PositionOf(commit), .commit_pages = 40});
            return {};
          };
          if (!capture()) ASSERT_OK(capture());
          if (!segment->Flush()) ASSERT_OK(segment->Flush());
          for (auto& [page_no, page] : frames) pages[page_no] = page;
        }
        EXPECT_TRUE(ContentOf(*segment) == pages);
      }
      const bool failed = faults.failure_count() > 0;
      faults.Heal();
      ASSERT_OK_AND_ASSIGN(const auto segment, Recover(faults));
      ASSERT_NE(segment, nullptr);
      EXPECT_EQ(segment->end().position, PositionOf(4));
      EXPECT_TRUE(ContentOf(*segment) == pages) << faults.RecentCalls();
      if (!failed) break;
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace runnel::capture
