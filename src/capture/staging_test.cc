#include "capture/staging.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/file_operations.h"
#include "fs/file_stream.h"
#include "ltx/testing.h"
#include "testing/capturing_logger.h"
#include "testing/fault_file_system.h"
#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"

namespace runnel::capture {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uint32_t kPageSize = 512;
const fs::Path kFolder = "/state/ltx/0";

class StagingTest : public ::testing::Test {
 protected:
  void Open() {
    staging_.reset();
    auto opened = Staging::Open(faults_, kFolder, {}, log_);
    ASSERT_OK(opened);
    staging_ = std::move(*opened);
  }

  static fs::Path PathOf(std::uint64_t txid) {
    const std::string digits = FormatTxid(Txid{txid});
    return kFolder / (digits + "-" + digits + ".ltx");
  }

  // What cut `txid` holds: pages that follow from it.
  static ltx::testing::PageMap PagesOf(std::uint64_t txid) {
    testing::SeededRandom random(txid);
    ltx::testing::PageMap pages;
    for (std::uint32_t i = 1; i <= 1 + txid % 4; ++i) {
      pages[PageNo{txid == 1 ? i : 2 * i}] = random.NextBytes(kPageSize);
    }
    return pages;
  }

  static ltx::Header HeaderOf(std::uint64_t txid) {
    const auto commit = txid == 1 ? static_cast<std::uint32_t>(PagesOf(1).size()) : 8;
    return ltx::testing::IncrementalHeader(kPageSize, commit, txid);
  }

  Result<StagedCut> Append(std::uint64_t txid) {
    return staging_->Append(HeaderOf(txid), {}, [&](ltx::Encoder& encoder) -> Result<void> {
      for (const auto& [page_no, page] : PagesOf(txid)) {
        RUNNEL_TRY_VOID(encoder.WritePage(page_no, page));
      }
      return {};
    });
  }

  void AppendUpTo(std::uint64_t last) {
    const std::uint64_t first = staging_->newest() ? ToInt(staging_->newest()->txid) + 1 : 1;
    for (std::uint64_t txid = first; txid <= last; ++txid) ASSERT_OK(Append(txid));
  }

  std::vector<std::uint64_t> Txids() const {
    std::vector<std::uint64_t> txids;
    for (const StagedCut& cut : staging_->files()) txids.push_back(ToInt(cut.txid));
    return txids;
  }

  // What files() says is what is there, whole.
  void ExpectWhole() {
    std::uint64_t total = 0;
    for (const StagedCut& cut : staging_->files()) {
      ASSERT_OK_AND_ASSIGN(const auto file, staging_->OpenCut(cut.txid));
      ASSERT_OK_AND_ASSIGN(const fs::FileInfo info, file->Info());
      EXPECT_EQ(info.size_bytes, cut.size_bytes);
      total += info.size_bytes;
      fs::FileSource source(*file, 0, info.size_bytes);
      ASSERT_OK_AND_ASSIGN(const auto decoded, ltx::testing::Decode(source));
      EXPECT_EQ(decoded.header.min_txid, cut.txid);
      EXPECT_TRUE(decoded.pages == PagesOf(ToInt(cut.txid)));
    }
    EXPECT_EQ(staging_->total_bytes(), total);
  }

  std::vector<std::string> Names() {
    std::vector<std::string> names;
    const auto entries = files_.List(kFolder);
    EXPECT_OK(entries);
    for (const fs::DirectoryEntry& entry : *entries) names.push_back(entry.name);
    return names;
  }

  testing::ManualClock clock_;
  testing::MemoryFileSystem files_{clock_};
  testing::FaultFileSystem faults_{files_};
  testing::CapturingLogger log_;
  std::unique_ptr<Staging> staging_;
};

TEST_F(StagingTest, AnEmptyFolderIsMadeAndHasNothing) {
  Open();
  EXPECT_FALSE(staging_->newest());
  EXPECT_THAT(staging_->files(), IsEmpty());
  EXPECT_EQ(staging_->total_bytes(), 0U);
  EXPECT_FAILS(Errc::kNotFound, staging_->OpenCut(Txid{1}));
  EXPECT_OK(staging_->Prune(Txid{100}));
  EXPECT_OK(staging_->Clear());
}

TEST_F(StagingTest, CutsAreThereUnderLitestreamsNamesAndAfterAReopen) {
  Open();
  AppendUpTo(5);
  EXPECT_THAT(Txids(), ElementsAre(1, 2, 3, 4, 5));
  ExpectWhole();
  Open();
  EXPECT_THAT(Txids(), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(staging_->newest()->txid, Txid{5});
  ExpectWhole();
  EXPECT_OK(files_.Stat(PathOf(3)));
}

TEST_F(StagingTest, ASummaryIsHeaderAndTrailer) {
  Open();
  AppendUpTo(2);
  ASSERT_OK_AND_ASSIGN(const CutSummary summary, staging_->Summary(Txid{2}));
  EXPECT_EQ(summary.header.min_txid, Txid{2});
  EXPECT_EQ(summary.header.commit_pages, 8U);
  ASSERT_OK_AND_ASSIGN(const Bytes file, fs::ReadFile(files_, PathOf(2), 1 << 20));
  ASSERT_OK_AND_ASSIGN(const auto decoded, ltx::testing::Decode(file));
  EXPECT_EQ(summary.trailer.file_checksum, decoded.trailer.file_checksum);
  EXPECT_FAILS(Errc::kNotFound, staging_->Summary(Txid{3}));
}

TEST_F(StagingTest, ASummaryOfWhatIsTooShortIsCorruptionThatNamesTheFile) {
  Open();
  AppendUpTo(2);
  ASSERT_OK_AND_ASSIGN(const auto file, files_.Open(PathOf(1), fs::OpenMode::kReadWrite));
  for (const std::uint64_t size : {0U, 99U, 100U, 115U}) {
    ASSERT_OK(file->Truncate(size));
    const auto summary = staging_->Summary(Txid{1});
    ASSERT_FAILS(Errc::kCorruption, summary);
    EXPECT_THAT(summary.error().message(), HasSubstr(PathOf(1).string()));
  }
}

TEST_F(StagingTest, PagesThatCannotBeHadLeaveNothing) {
  Open();
  AppendUpTo(1);
  const auto failed = staging_->Append(
      HeaderOf(2), {}, [](ltx::Encoder&) -> Result<void> { return Fail(Errc::kIo, "no page"); });
  ASSERT_FAILS(Errc::kIo, failed);
  EXPECT_THAT(failed.error().message(), HasSubstr("no page"));
  EXPECT_THAT(Txids(), ElementsAre(1));
  EXPECT_EQ(Names().size(), 1U);
  AppendUpTo(2);
  ExpectWhole();
}

// Whatever call fails, and however much of it was done: the cut is not there, and then it is.
TEST_F(StagingTest, AnAppendThatFailsAtAnyCallMayBeRepeated) {
  for (const auto effect : {testing::FileFault::Effect::kNone, testing::FileFault::Effect::kPartial,
                            testing::FileFault::Effect::kWhole}) {
    Open();
    std::uint64_t txid = staging_->newest() ? ToInt(staging_->newest()->txid) : 0;
    for (std::uint64_t n = 1;; ++n) {
      SCOPED_TRACE(n);
      faults_.CountOnly([](const auto& call) { return testing::IsMutating(call.call); });
      faults_.FailAt(n, {.code = Errc::kNoSpace, .effect = effect});
      const auto cut = Append(++txid);
      const bool failed = faults_.failure_count() > 0;
      faults_.Heal();
      // A temporary file that could not be removed is no reason to fail.
      if (!cut) {
        EXPECT_EQ(staging_->newest() ? ToInt(staging_->newest()->txid) : 0, txid - 1);
        ASSERT_OK(Append(txid)) << faults_.RecentCalls();
      }
      EXPECT_EQ(ToInt(staging_->newest()->txid), txid);
      ExpectWhole();
      if (!failed) break;
      ASSERT_FALSE(HasFailure());
    }
  }
  Open();
  ExpectWhole();
  EXPECT_EQ(Names().size(), Txids().size());
}

TEST_F(StagingTest, WhatWasReportedSurvivesAPowerLossAndTheRestIsWholeOrGone) {
  testing::SeededRandom random(7);
  Open();
  std::uint64_t reported = 0;
  int survived = 0;
  for (int round = 0; round < 200; ++round) {
    SCOPED_TRACE(round);
    AppendUpTo(reported + 2);
    ASSERT_FALSE(HasFailure());
    reported += 2;
    // The power goes in the middle of another one.
    faults_.CountOnly([](const auto& call) { return testing::IsMutating(call.call); });
    faults_.FailAt(1 + random.Below(12), {.duration = testing::FileFault::Duration::kFromThenOn,
                                          .effect = testing::FileFault::Effect::kPartial});
    if (Append(reported + 1)) ++reported;
    files_.PowerLoss(random);
    faults_.Heal();
    Open();
    const std::uint64_t newest = ToInt(staging_->newest()->txid);
    ASSERT_GE(newest, reported);
    ASSERT_LE(newest, reported + 1);
    if (newest > reported) ++survived;
    reported = newest;
    ExpectWhole();
    ASSERT_FALSE(HasFailure());
    ASSERT_OK(staging_->Prune(Txid{newest - 1}));
  }
  EXPECT_GT(survived, 0);
}

// The folders are as new as the cut.
TEST_F(StagingTest, TheFirstCutSurvivesAPowerLossWithItsFolders) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    testing::MemoryFileSystem files(clock_);
    testing::SeededRandom random(seed);
    {
      ASSERT_OK_AND_ASSIGN(const auto staging, Staging::Open(files, kFolder, {}, log_));
      ASSERT_OK(staging->Append(HeaderOf(2), {}, [](ltx::Encoder& encoder) {
        return encoder.WritePage(PageNo{2}, Bytes(kPageSize));
      }));
    }
    files.PowerLoss(random);
    ASSERT_OK_AND_ASSIGN(const auto staging, Staging::Open(files, kFolder, {}, log_));
    ASSERT_TRUE(staging->newest());
    EXPECT_EQ(staging->newest()->txid, Txid{2});
  }
}

TEST_F(StagingTest, ANewestCutThatIsTornAnywhereIsRemovedAndTheOneBeforeItIsTheNewest) {
  Open();
  AppendUpTo(3);
  ASSERT_OK_AND_ASSIGN(const Bytes whole, fs::ReadFile(files_, PathOf(3), 1 << 20));
  for (std::size_t size = 0; size < whole.size(); size += size < 200 ? 1 : 17) {
    SCOPED_TRACE(size);
    ASSERT_OK(fs::ReplaceFile(files_, PathOf(3), ByteView(whole).first(size), {}));
    log_.Clear();
    Open();
    EXPECT_THAT(Txids(), ElementsAre(1, 2));
    EXPECT_TRUE(log_.Contains(PathOf(3).string(), LogLevel::kWarn));
    EXPECT_FAILS(Errc::kNotFound, files_.Stat(PathOf(3)));
    ASSERT_FALSE(HasFailure());
  }
  AppendUpTo(3);
  ExpectWhole();
}

TEST_F(StagingTest, AFlippedBitOfTheNewestIsFound) {
  Open();
  AppendUpTo(2);
  ASSERT_OK_AND_ASSIGN(const Bytes whole, fs::ReadFile(files_, PathOf(2), 1 << 20));
  for (std::size_t at = 0; at < whole.size(); at += 7) {
    SCOPED_TRACE(at);
    Bytes damaged = whole;
    damaged[at] ^= std::byte{0x04};
    ASSERT_OK(fs::ReplaceFile(files_, PathOf(2), damaged, {}));
    Open();
    EXPECT_THAT(Txids(), ElementsAre(1));
    ASSERT_FALSE(HasFailure());
  }
}

TEST_F(StagingTest, SeveralDamagedOnesInARowAreRemovedUpToAWholeOne) {
  Open();
  AppendUpTo(5);
  for (const std::uint64_t txid : {3U, 4U, 5U}) {
    ASSERT_OK(fs::ReplaceFile(files_, PathOf(txid), AsBytes("torn"), {}));
  }
  Open();
  EXPECT_THAT(Txids(), ElementsAre(1, 2));
  ExpectWhole();
}

TEST_F(StagingTest, ACutOfAnotherTxidUnderItsNameIsNone) {
  Open();
  AppendUpTo(3);
  ASSERT_OK_AND_ASSIGN(const Bytes second, fs::ReadFile(files_, PathOf(2), 1 << 20));
  ASSERT_OK(fs::ReplaceFile(files_, PathOf(3), second, {}));
  Open();
  EXPECT_THAT(Txids(), ElementsAre(1, 2));
}

// Not read is not damaged: nothing is removed for a disk that has a bad day.
TEST_F(StagingTest, ANewestCutThatCannotBeReadIsAnErrorAndStays) {
  Open();
  AppendUpTo(2);
  staging_.reset();
  faults_.CountOnly([](const auto& call) { return call.call == testing::FileCall::kRead; });
  faults_.FailAt(1);
  EXPECT_FAILS(Errc::kIo, Staging::Open(faults_, kFolder, {}, log_));
  faults_.Heal();
  Open();
  EXPECT_THAT(Txids(), ElementsAre(1, 2));
}

TEST_F(StagingTest, TemporaryFilesGoAndForeignOnesStay) {
  Open();
  AppendUpTo(1);
  const std::string range = FormatTxid(Txid{2}) + "-" + FormatTxid(Txid{3}) + ".ltx";
  for (const std::string& name :
       {PathOf(2).filename().string() + ".tmp", range, std::string("notes.txt")}) {
    ASSERT_OK(fs::ReplaceFile(files_, kFolder / name, AsBytes("x"), {}));
  }
  Open();
  EXPECT_THAT(Txids(), ElementsAre(1));
  EXPECT_THAT(Names(),
              ::testing::UnorderedElementsAre(PathOf(1).filename().string(), range, "notes.txt"));
}

TEST_F(StagingTest, PruneNeverTakesTheNewest) {
  Open();
  AppendUpTo(4);
  ASSERT_OK(staging_->Prune(Txid{2}));
  EXPECT_THAT(Txids(), ElementsAre(3, 4));
  EXPECT_FAILS(Errc::kNotFound, staging_->OpenCut(Txid{2}));
  ASSERT_OK(staging_->Prune(Txid{1}));
  EXPECT_THAT(Txids(), ElementsAre(3, 4));
  ASSERT_OK(staging_->Prune(Txid{~0ULL - 1}));
  EXPECT_THAT(Txids(), ElementsAre(4));
  ExpectWhole();
  AppendUpTo(5);
  Open();
  EXPECT_THAT(Txids(), ElementsAre(4, 5));
}

TEST_F(StagingTest, PruneStopsAtTheLowestPin) {
  Open();
  AppendUpTo(8);
  Staging::Pin high = staging_->PinFrom(Txid{6});
  {
    Staging::Pin low = staging_->PinFrom(Txid{3});
    const Staging::Pin same = staging_->PinFrom(Txid{3});
    ASSERT_OK(staging_->Prune(Txid{7}));
    EXPECT_THAT(Txids(), ElementsAre(3, 4, 5, 6, 7, 8));
    low.Release();
    low.Release();  // does no harm
    ASSERT_OK(staging_->Prune(Txid{7}));
    EXPECT_THAT(Txids(), ElementsAre(3, 4, 5, 6, 7, 8)) << "the other one of the same txid";
  }
  ASSERT_OK(staging_->Prune(Txid{7}));
  EXPECT_THAT(Txids(), ElementsAre(6, 7, 8));
  Staging::Pin moved = std::move(high);
  ASSERT_OK(staging_->Prune(Txid{7}));
  EXPECT_THAT(Txids(), ElementsAre(6, 7, 8)) << "a pin that was moved holds on";
  moved = Staging::Pin();
  ASSERT_OK(staging_->Prune(Txid{7}));
  EXPECT_THAT(Txids(), ElementsAre(8));
}

TEST_F(StagingTest, APinPastTheNewestKeepsWhatComes) {
  Open();
  AppendUpTo(2);
  const Staging::Pin pin = staging_->PinFrom(Txid{3});
  AppendUpTo(5);
  ASSERT_OK(staging_->Prune(Txid{4}));
  EXPECT_THAT(Txids(), ElementsAre(3, 4, 5));
}

TEST_F(StagingTest, AFileThatSomebodyRemovedIsNoReasonToStopPruning) {
  Open();
  AppendUpTo(4);
  ASSERT_OK(files_.Remove(PathOf(2)));
  ASSERT_OK(staging_->Prune(Txid{3}));
  EXPECT_THAT(Txids(), ElementsAre(4));
  EXPECT_EQ(Names().size(), 1U);
}

// A file that is forgotten and stays would be a hole in the log after a restart.
TEST_F(StagingTest, WhatCannotBeRemovedIsKeptInMindAndRemovedLater) {
  Open();
  AppendUpTo(6);
  faults_.CountOnly([](const auto& call) { return call.call == testing::FileCall::kRemove; });
  faults_.FailAt(2);
  EXPECT_FAILS(Errc::kIo, staging_->Prune(Txid{4}));
  EXPECT_THAT(Txids(), ElementsAre(2, 3, 4, 5, 6));
  ExpectWhole();
  ASSERT_OK(staging_->Prune(Txid{5}));
  EXPECT_THAT(Txids(), ElementsAre(6));
  EXPECT_EQ(Names().size(), 1U);
}

TEST_F(StagingTest, ClearForgetsOneHistoryForAnother) {
  Open();
  AppendUpTo(3);
  ASSERT_OK(staging_->Clear());
  EXPECT_FALSE(staging_->newest());
  EXPECT_EQ(staging_->total_bytes(), 0U);
  EXPECT_THAT(Names(), IsEmpty());
  ASSERT_OK(Append(40));
  EXPECT_THAT(Txids(), ElementsAre(40));
}

TEST_F(StagingTest, ClearThatFailsInTheMiddleIsFinishedByTheNext) {
  Open();
  AppendUpTo(3);
  faults_.CountOnly([](const auto& call) { return call.call == testing::FileCall::kRemove; });
  faults_.FailAt(2);
  EXPECT_FAILS(Errc::kIo, staging_->Clear());
  EXPECT_THAT(Txids(), ElementsAre(2, 3));
  ASSERT_OK(staging_->Clear());
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(StagingTest, AnAdoptedCutIsByteForByteThatOfTheReplicaAndTheNextFollowsIt) {
  Open();
  ASSERT_OK_AND_ASSIGN(const Bytes theirs, ltx::testing::Encode(HeaderOf(9), PagesOf(9)));
  SpanSource source(theirs);
  ASSERT_OK(staging_->Adopt(Txid{9}, source));
  ASSERT_OK_AND_ASSIGN(const Bytes kept, fs::ReadFile(files_, PathOf(9), 1 << 20));
  EXPECT_TRUE(kept == theirs);
  ASSERT_OK(Append(10));
  testing::SeededRandom random(3);
  files_.PowerLoss(random);
  Open();
  EXPECT_THAT(Txids(), ElementsAre(9, 10));
  ExpectWhole();
}

TEST_F(StagingTest, AnAdoptionThatFailsAtAnyCallMayBeRepeated) {
  ASSERT_OK_AND_ASSIGN(const Bytes theirs, ltx::testing::Encode(HeaderOf(9), PagesOf(9)));
  for (std::uint64_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    Open();
    ASSERT_OK(staging_->Clear());
    faults_.CountOnly([](const auto& call) { return testing::IsMutating(call.call); });
    faults_.FailAt(n);
    SpanSource source(theirs);
    const auto adopted = staging_->Adopt(Txid{9}, source);
    const bool failed = faults_.failure_count() > 0;
    faults_.Heal();
    EXPECT_EQ(adopted.has_value(), !failed);
    if (!adopted) {
      EXPECT_FALSE(staging_->newest());
      SpanSource again(theirs);
      ASSERT_OK(staging_->Adopt(Txid{9}, again));
    }
    EXPECT_THAT(Txids(), ElementsAre(9));
    ExpectWhole();
    if (!failed) break;
    ASSERT_FALSE(HasFailure());
  }
}

}  // namespace
}  // namespace runnel::capture
