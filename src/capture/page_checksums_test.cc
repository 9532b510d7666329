#include "capture/page_checksums.h"

#include <gtest/gtest.h>

#include <vector>

#include "testing/fault_file_system.h"
#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"

namespace runnel::capture {
namespace {

constexpr std::uint32_t kPageSize = 4096;
const fs::Path kPath = "/pages";

class PageChecksumsTest : public ::testing::Test {
 protected:
  Result<PageChecksums> Create() { return PageChecksums::Create(files_, kPath, {}, kPageSize); }

  Result<PageChecksums> OpenExisting() {
    RUNNEL_TRY(auto checksums, PageChecksums::Open(files_, kPath));
    if (!checksums) return Fail(Errc::kNotFound, "none");
    return std::move(*checksums);
  }

  void ExpectAll(PageChecksums& checksums, const std::vector<std::uint64_t>& expected) {
    std::uint64_t sum = 0;
    for (std::uint32_t i = 0; i < expected.size(); ++i) {
      ASSERT_OK_AND_ASSIGN(const std::uint64_t checksum, checksums.Get(PageNo{i + 1}));
      ASSERT_EQ(checksum, expected[i]) << "page " << i + 1;
      sum += checksum;
    }
    const auto last = static_cast<std::uint32_t>(expected.size());
    ASSERT_OK_AND_ASSIGN(const std::uint64_t said, checksums.Sum(PageNo{1}, PageNo{last}));
    EXPECT_EQ(said, sum);
    ASSERT_OK_AND_ASSIGN(const std::uint64_t past, checksums.Get(PageNo{last + 1}));
    EXPECT_EQ(past, 0U);
  }

  testing::ManualClock clock_;
  testing::MemoryFileSystem files_{clock_};
  testing::SeededRandom random_{5};
};

TEST_F(PageChecksumsTest, IsAnArrayThatGrowsAndShrinks) {
  ASSERT_OK_AND_ASSIGN(PageChecksums checksums, Create());
  std::vector<std::uint64_t> expected;
  for (int round = 0; round < 60; ++round) {
    const std::uint64_t size = random_.Below(3000);
    if (size < expected.size()) {
      ASSERT_OK(checksums.Truncate(static_cast<std::uint32_t>(size)));
      expected.resize(size);
    }
    while (expected.size() < size) {
      expected.push_back(random_.NextU64());
      ASSERT_OK(
          checksums.Set(PageNo{static_cast<std::uint32_t>(expected.size())}, expected.back()));
    }
    for (int i = 0; i < 20 && !expected.empty(); ++i) {
      const std::uint64_t at = random_.Below(expected.size());
      expected[at] = random_.NextU64();
      ASSERT_OK(checksums.Set(PageNo{static_cast<std::uint32_t>(at + 1)}, expected[at]));
    }
    ExpectAll(checksums, expected);
    if (HasFailure()) return;
  }
}

TEST_F(PageChecksumsTest, PagesThatWereDroppedAreGoneWhenTheDatabaseGrowsAgain) {
  ASSERT_OK_AND_ASSIGN(PageChecksums checksums, Create());
  for (std::uint32_t i = 1; i <= 100; ++i) ASSERT_OK(checksums.Set(PageNo{i}, i));
  ASSERT_OK(checksums.Truncate(10));
  ASSERT_OK(checksums.Set(PageNo{90}, 7));
  ASSERT_OK_AND_ASSIGN(const std::uint64_t sum, checksums.Sum(PageNo{11}, PageNo{200}));
  EXPECT_EQ(sum, 7U);
}

TEST_F(PageChecksumsTest, NewOneNamesNoTxid) {
  ASSERT_OK(Create());
  ASSERT_OK_AND_ASSIGN(const PageChecksums checksums, OpenExisting());
  EXPECT_EQ(checksums.base().txid, Txid{0});
  EXPECT_EQ(checksums.base().page_size, kPageSize);
}

TEST_F(PageChecksumsTest, NoFileAndDamagedHeadersAreNone) {
  EXPECT_FAILS(Errc::kNotFound, OpenExisting());
  {
    ASSERT_OK_AND_ASSIGN(PageChecksums checksums, Create());
    ASSERT_OK(checksums.Checkpoint({.txid = Txid{3},
                                    .checksum = DatabaseChecksum{1},
                                    .page_size = kPageSize,
                                    .commit_pages = 0}));
  }
  ASSERT_OK_AND_ASSIGN(auto file, files_.Open(kPath, fs::OpenMode::kReadWrite));
  Bytes header(48);
  ASSERT_OK(file->ReadAt(0, header));
  for (std::size_t at = 0; at < header.size(); ++at) {
    SCOPED_TRACE(at);
    Bytes damaged = header;
    damaged[at] ^= std::byte{1};
    ASSERT_OK(file->WriteAt(0, damaged));
    EXPECT_FAILS(at == 6 || at == 7 ? Errc::kUnsupported : Errc::kNotFound, OpenExisting());
  }
  for (std::size_t size = 0; size < header.size(); ++size) {
    ASSERT_OK(file->Truncate(0));
    ASSERT_OK(file->WriteAt(0, ByteView(header).first(size)));
    EXPECT_FAILS(Errc::kNotFound, OpenExisting());
  }
  ASSERT_OK(file->WriteAt(0, header));
  EXPECT_OK(OpenExisting());
}

TEST_F(PageChecksumsTest, RestsWithoutADescriptorAndForgetsNothing) {
  ASSERT_OK_AND_ASSIGN(PageChecksums checksums, Create());
  std::vector<std::uint64_t> expected;
  for (std::uint32_t i = 1; i <= 1500; ++i) {
    expected.push_back(random_.NextU64());
    ASSERT_OK(checksums.Set(PageNo{i}, expected.back()));
    if (i % 100 == 0) ASSERT_OK(checksums.Rest());
  }
  ASSERT_OK(checksums.Rest());
  ASSERT_OK(checksums.Rest());
  ExpectAll(checksums, expected);
  ASSERT_OK(checksums.Rest());
  ASSERT_OK(checksums.Checkpoint({.txid = Txid{2}, .page_size = kPageSize, .commit_pages = 1500}));
  ASSERT_OK(checksums.Rest());
  ASSERT_OK_AND_ASSIGN(PageChecksums again, OpenExisting());
  EXPECT_EQ(again.base().txid, Txid{2});
  ExpectAll(again, expected);
}

// Cuts up to the base may be removed: it moves once all is durable, and not when that was tried.
TEST_F(PageChecksumsTest, CheckpointThatFailsLeavesTheBaseAndIsDoneAgain) {
  const ChecksumBase base{.txid = Txid{3}, .page_size = kPageSize, .commit_pages = 1};
  int failures = 0;
  for (std::uint64_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    testing::FaultFileSystem faults(files_);
    ASSERT_OK_AND_ASSIGN(PageChecksums checksums,
                         PageChecksums::Create(faults, kPath, {}, kPageSize));
    ASSERT_OK(checksums.Set(PageNo{1}, 7));
    faults.CountOnly(
        [](const testing::FileCallRecord& record) { return testing::IsMutating(record.call); });
    faults.FailAt(n);
    const auto done = checksums.Checkpoint(base);
    if (done) break;
    ++failures;
    EXPECT_EQ(checksums.base().txid, Txid{0});
    ASSERT_OK(checksums.Checkpoint(base));
    EXPECT_EQ(checksums.base().txid, base.txid);
    ASSERT_OK_AND_ASSIGN(const PageChecksums again, OpenExisting());
    EXPECT_EQ(again.base().txid, base.txid);
  }
  EXPECT_GE(failures, 4);
}

// Another array with the same name would be taken for ours.
TEST_F(PageChecksumsTest, OneThatWasRemovedOrReplacedWhileItRestedIsLost) {
  ASSERT_OK_AND_ASSIGN(PageChecksums checksums, Create());
  ASSERT_OK(checksums.Set(PageNo{1}, 7));
  ASSERT_OK(checksums.Rest());
  ASSERT_OK(files_.Remove(kPath));
  EXPECT_FAILS(Errc::kPreconditionFailed, checksums.Get(PageNo{1}));
  ASSERT_OK(Create());
  EXPECT_FAILS(Errc::kPreconditionFailed, checksums.Get(PageNo{1}));
  EXPECT_FAILS(Errc::kPreconditionFailed, checksums.Set(PageNo{1}, 8));
  EXPECT_FAILS(Errc::kPreconditionFailed, checksums.Truncate(0));
  EXPECT_FAILS(Errc::kPreconditionFailed, checksums.Checkpoint({.page_size = kPageSize}));
}

// After a power loss the header names a base only if all entries as of it are there.
TEST_F(PageChecksumsTest, BaseIsNeverAheadOfTheArrayAfterAPowerLoss) {
  for (int round = 0; round < 300; ++round) {
    SCOPED_TRACE(round);
    std::vector<std::vector<std::uint64_t>> states(1);  // by txid
    {
      ASSERT_OK_AND_ASSIGN(PageChecksums checksums, Create());
      ASSERT_OK(files_.SyncDirectory("/"));
      std::vector<std::uint64_t> entries;
      for (std::uint64_t txid = 1; txid <= 4; ++txid) {
        while (entries.size() < 200 * txid) entries.push_back(0);
        for (int i = 0; i < 300; ++i) entries[random_.Below(entries.size())] = random_.NextU64();
        for (std::uint32_t i = 0; i < entries.size(); ++i) {
          ASSERT_OK(checksums.Set(PageNo{i + 1}, entries[i]));
        }
        states.push_back(entries);
        if (random_.Below(2) == 0) ASSERT_OK(checksums.Rest());
        if (random_.Below(2) == 0) continue;
        ASSERT_OK(checksums.Checkpoint({.txid = Txid{txid},
                                        .checksum = DatabaseChecksum{txid},
                                        .page_size = kPageSize,
                                        .commit_pages = 0}));
      }
    }
    files_.PowerLoss(random_);
    ASSERT_OK_AND_ASSIGN(PageChecksums checksums, OpenExisting());
    const std::uint64_t base = ToInt(checksums.base().txid);
    EXPECT_EQ(ToInt(checksums.base().checksum), base);
    // An entry is as of the base, or of a later state.
    for (std::uint32_t i = 0; i < states[base].size(); ++i) {
      ASSERT_OK_AND_ASSIGN(const std::uint64_t entry, checksums.Get(PageNo{i + 1}));
      bool known = false;
      for (std::uint64_t txid = base; txid < states.size(); ++txid) {
        known = known || states[txid][i] == entry;
      }
      ASSERT_TRUE(known) << "page " << i + 1 << ", base " << base;
    }
  }
}

}  // namespace
}  // namespace runnel::capture
