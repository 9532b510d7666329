#include "capture/cutter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "capture/recovery.h"
#include "fs/file_stream.h"
#include "ltx/chain.h"
#include "ltx/decoder.h"
#include "testing/capturing_logger.h"
#include "testing/fault_file_system.h"
#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"

namespace runnel::capture {
namespace {

constexpr std::uint32_t kPageSize = 512;
constexpr int kCuts = 20;

using testing::FileFault;

// A database's content, and how 20 cuts change it. The pages that a cut changes are in a segment;
// the pages of a comparison are found by the test itself, as a scan would.
struct Model {
  std::vector<Bytes> pages;

  DatabaseChecksum Checksum() const {
    ltx::ChainSum sum;
    for (std::uint32_t i = 0; i < pages.size(); ++i) {
      sum.Add(ltx::PageChecksum(PageNo{i + 1}, pages[i]));
    }
    return sum.value();
  }
  friend bool operator==(const Model&, const Model&) = default;
};

class CutterTest : public ::testing::Test {
 protected:
  CutterTest() {
    // states_[n]: after cut n. They grow and shrink.
    states_.resize(1);
    Model model;
    for (int n = 1; n <= kCuts; ++n) {
      const std::uint64_t size = 20 + random_.Below(120);
      const std::size_t before = model.pages.size();
      model.pages.resize(size, Bytes(kPageSize));
      for (std::size_t i = before; i < size; ++i) model.pages[i] = random_.NextBytes(kPageSize);
      for (int i = 0; i < 10; ++i) {
        model.pages[random_.Below(size)] = random_.NextBytes(kPageSize);
      }
      states_.push_back(model);
    }
  }

  // One process's life on the state folder.
  struct Daemon {
    std::unique_ptr<Staging> staging;
    std::unique_ptr<Cutter> cutter;
  };

  Result<Daemon> Open(fs::FileSystem& files) {
    Daemon daemon;
    RUNNEL_TRY_VOID(files.CreateDirectories(paths_.runnel(), {}));
    RUNNEL_TRY(daemon.staging, Staging::Open(files, paths_.cuts(), {}, log_));
    daemon.cutter = std::make_unique<Cutter>(CutterOptions{.paths = paths_, .ownership = {}}, files,
                                             *daemon.staging, log_);
    RUNNEL_TRY(const History history, daemon.cutter->Open());
    RUNNEL_TRY(const auto recovered, RecoverSegments(files, paths_, {}, history, {}));
    (void)recovered;
    if (history.kind != HistoryKind::kOurs) RUNNEL_TRY_VOID(daemon.cutter->StartOver(kPageSize));
    return daemon;
  }

  // The cut that brings the newest one to `to`: what differs by the page checksums, as a segment.
  Result<void> CutTo(fs::FileSystem& files, Daemon& daemon, const Model& to) {
    RUNNEL_TRY_VOID(daemon.cutter->Settle());
    if (daemon.cutter->history().kind != HistoryKind::kOurs) {
      RUNNEL_TRY_VOID(daemon.cutter->StartOver(kPageSize));
    }
    const Txid txid = Next(daemon.cutter->history().newest);
    Segment segment(files, paths_.segment(txid), {},
                    {.page_size = kPageSize, .txid = txid, .position = {}, .commit_pages = 1},
                    {.buffer_bytes = 4000, .table_entries = 8});
    for (std::uint32_t i = 0; i < to.pages.size(); ++i) {
      const PageNo page_no{i + 1};
      RUNNEL_TRY(const std::uint64_t known, daemon.cutter->ChecksumOf(page_no));
      if (known == ltx::PageChecksum(page_no, to.pages[i])) continue;
      RUNNEL_TRY_VOID(segment.AddPage(page_no, to.pages[i]));
    }
    const FrameNo end{static_cast<std::uint32_t>(ToInt(txid) - 1)};
    segment.Commit({.position = {.salts = {.salt1 = 1, .salt2 = 2}, .frame = end, .checksum = {}},
                    .commit_pages = static_cast<std::uint32_t>(to.pages.size())});
    auto cut = daemon.cutter->Cut({.segment = &segment,
                                   .scan_spool = nullptr,
                                   .read_raw = [](PageNo, MutableBytes) -> Result<void> {
                                     return Fail(Errc::kInternal, "no page is unwritten");
                                   },
                                   .timestamp = clock_.Now()});
    (void)segment.Remove();
    if (!cut) return Fail(std::move(cut).error());
    return {};
  }

  // What the staged cuts make of an empty database, with the chain proved at each of them.
  Result<std::vector<Model>> Apply(fs::FileSystem& files) {
    RUNNEL_TRY(auto staging, Staging::Open(files, paths_.cuts(), {}, log_));
    std::vector<Model> states;
    Model model;
    DatabaseChecksum checksum{};
    WallTime timestamp;
    Txid last{};
    for (const StagedCut& cut : staging->files()) {
      if (cut.txid != Next(last)) return Fail(Errc::kCorruption, "a gap");
      last = cut.txid;
      RUNNEL_TRY(auto file, staging->OpenCut(cut.txid));
      fs::FileSource source(*file, 0, cut.size_bytes);
      ltx::Decoder decoder(source);
      RUNNEL_TRY(const ltx::Header header, decoder.ReadHeader());
      if (header.timestamp <= timestamp) return Fail(Errc::kCorruption, "time goes back");
      timestamp = header.timestamp;
      model.pages.resize(header.commit_pages, Bytes(kPageSize));
      std::uint32_t count = 0;
      for (Bytes page(kPageSize);; ++count) {
        RUNNEL_TRY(const auto entry, decoder.ReadPage(page));
        if (!entry) break;
        model.pages[ToInt(entry->page_no) - 1] = page;
      }
      RUNNEL_TRY(const ltx::Trailer trailer, decoder.Finish());
      (void)trailer;
      const bool new_chain =
          header.chain->before == DatabaseChecksum{0} && count == header.commit_pages;
      if (header.chain->before != checksum && !new_chain) {
        return Fail(Errc::kCorruption, "the chain does not go on");
      }
      checksum = header.chain->after;
      if (model.Checksum() != checksum) return Fail(Errc::kCorruption, "other pages than it says");
      states.push_back(model);
    }
    return states;
  }

  // Every cut is one of the states that there were, in order.
  void ExpectHistory(const std::vector<Model>& cuts) {
    std::size_t at = 0;
    for (const Model& cut : cuts) {
      while (at < states_.size() && !(states_[at] == cut)) ++at;
      ASSERT_LT(at, states_.size()) << "a cut is not a state that there was";
    }
  }

  // Opens what a failure left, goes on to the last state, and finds it.
  void ExpectGoesOn(fs::FileSystem& files) {
    {
      ASSERT_OK_AND_ASSIGN(Daemon daemon, Open(files));
      ASSERT_OK(CutTo(files, daemon, states_.back()));
      ASSERT_OK(daemon.cutter->Checkpoint());
    }
    ASSERT_OK_AND_ASSIGN(const auto cuts, Apply(files));
    ASSERT_FALSE(cuts.empty());
    EXPECT_TRUE(cuts.back() == states_.back());
    ExpectHistory(cuts);
    ASSERT_OK_AND_ASSIGN(const Daemon again, Open(files));
    EXPECT_EQ(again.cutter->history().kind, HistoryKind::kOurs);
    EXPECT_EQ(again.cutter->history().checksum, states_.back().Checksum());
  }

  // The whole scenario; `between` is called after each cut.
  template <class F>
  Result<void> RunAll(fs::FileSystem& files, F between) {
    RUNNEL_TRY(Daemon daemon, Open(files));
    for (int n = 1; n <= kCuts; ++n) {
      clock_.Advance(std::chrono::milliseconds(n % 3));
      RUNNEL_TRY_VOID(CutTo(files, daemon, states_[static_cast<std::size_t>(n)]));
      if (n % 6 == 0) RUNNEL_TRY_VOID(daemon.cutter->Checkpoint());
      RUNNEL_TRY_VOID(between(n, daemon));
    }
    return {};
  }

  StatePaths paths_{"/state"};
  testing::ManualClock clock_;
  testing::CapturingLogger log_;
  testing::SeededRandom random_{11};
  std::vector<Model> states_;
};

Result<void> Nothing(int, auto&) { return {}; }

TEST_F(CutterTest, CutsAreTheStatesInOrder) {
  testing::MemoryFileSystem files(clock_);
  ASSERT_OK(RunAll(files, [](int n, auto& daemon) { return Nothing(n, daemon); }));
  ASSERT_OK_AND_ASSIGN(const auto cuts, Apply(files));
  ASSERT_EQ(cuts.size(), static_cast<std::size_t>(kCuts));
  ExpectHistory(cuts);
  EXPECT_TRUE(cuts.back() == states_.back());
}

// Whatever frame a cut ends with: Litestream reads the generation again.
TEST_F(CutterTest, WalFieldsAreTheFirstFrameOfTheGeneration) {
  testing::MemoryFileSystem files(clock_);
  ASSERT_OK_AND_ASSIGN(Daemon daemon, Open(files));
  for (std::size_t n = 1; n <= 3; ++n) {
    ASSERT_OK(CutTo(files, daemon, states_[n]));
    ASSERT_OK_AND_ASSIGN(const CutSummary cut, daemon.staging->Summary(Txid{n}));
    const std::uint64_t size = n == 1 ? 0 : 24 + kPageSize;  // the first one ends before frame 1
    EXPECT_EQ(cut.header.wal,
              (ltx::WalRange{.offset_bytes = 32, .size_bytes = size, .salt1 = 1, .salt2 = 2}));
  }
}

TEST_F(CutterTest, ChecksumsFollowTheNewestCutAfterAnUncleanStop) {
  testing::MemoryFileSystem files(clock_);
  for (int n = 1; n <= kCuts; ++n) {
    ASSERT_OK_AND_ASSIGN(Daemon daemon, Open(files));
    EXPECT_EQ(daemon.cutter->history().kind, HistoryKind::kOurs);
    ASSERT_OK(CutTo(files, daemon, states_[static_cast<std::size_t>(n)]));
    files.ProcessDies();
  }
  // Made once, by the first of them.
  EXPECT_FALSE(log_.Contains("made anew"));
  ASSERT_OK_AND_ASSIGN(const auto cuts, Apply(files));
  ExpectHistory(cuts);
}

class CutterFailures : public CutterTest {
 protected:
  void FailEveryCallOnce(std::uint64_t stride);
};

// A failure that comes once, at each call in turn. The caller repeats what failed.
void CutterFailures::FailEveryCallOnce(std::uint64_t stride) {
  constexpr FileFault::Effect kEffects[] = {FileFault::Effect::kNone, FileFault::Effect::kPartial,
                                            FileFault::Effect::kWhole};
  for (const FileFault::Effect effect : kEffects) {
    std::uint64_t n = 1 + static_cast<std::uint64_t>(effect);
    for (;; n += stride) {
      SCOPED_TRACE(n);
      testing::MemoryFileSystem memory(clock_);
      testing::FaultFileSystem files(memory);
      std::optional<Daemon> daemon;
      files.FailAt(n, {.code = Errc::kIo, .effect = effect});
      for (int cut = 1; cut <= kCuts; ++cut) {
        const Model& state = states_[static_cast<std::size_t>(cut)];
        const auto work = [&]() -> Result<void> {
          if (!daemon) {
            RUNNEL_TRY(daemon, Open(files));
          }
          RUNNEL_TRY_VOID(CutTo(files, *daemon, state));
          return cut % 6 == 0 ? daemon->cutter->Checkpoint() : Result<void>{};
        };
        if (!work()) ASSERT_OK(work()) << files.RecentCalls();
      }
      const bool failed = files.failure_count() > 0;
      files.Heal();
      daemon.reset();
      ASSERT_OK_AND_ASSIGN(const auto cuts, Apply(files));
      ExpectHistory(cuts);
      ExpectGoesOn(files);
      if (HasFailure()) {
        ADD_FAILURE() << files.RecentCalls();
        return;
      }
      if (!failed) break;
    }
  }
}

using CutterFailureTest = CutterFailures;
TEST_F(CutterFailureTest, LeavesAWholeHistory) { FailEveryCallOnce(13); }

using CutterFailureSlowTest = CutterFailures;
TEST_F(CutterFailureSlowTest, LeavesAWholeHistoryAtEveryCall) { FailEveryCallOnce(1); }

// The disk is full from some call on, and the process goes on with it for a while; then it dies.
TEST_F(CutterTest, DiskThatFillsUpAtAnyCallLeavesAWholeHistory) {
  for (std::uint64_t n = 1;; n += 5) {
    SCOPED_TRACE(n);
    testing::MemoryFileSystem memory(clock_);
    testing::FaultFileSystem files(memory);
    files.CountOnly([](const auto& call) {
      return call.call == testing::FileCall::kWrite || call.call == testing::FileCall::kOpen;
    });
    files.FailAt(n, {.code = Errc::kNoSpace,
                     .duration = FileFault::Duration::kFromThenOn,
                     .effect = FileFault::Effect::kPartial});
    if (auto daemon = Open(files)) {
      for (int cut = 1; cut <= kCuts; ++cut) {
        (void)CutTo(files, *daemon, states_[static_cast<std::size_t>(cut)]);
        if (cut % 6 == 0) (void)daemon->cutter->Checkpoint();
      }
    }
    const bool failed = files.failure_count() > 0;
    files.Heal();
    memory.ProcessDies();
    ASSERT_OK_AND_ASSIGN(const auto cuts, Apply(files));
    ExpectHistory(cuts);
    ExpectGoesOn(files);
    if (HasFailure() || !failed) return;
  }
}

TEST_F(CutterTest, PowerLossAtAnyTimeKeepsEveryCutThatWasMade) {
  for (int round = 0; round < 120; ++round) {
    SCOPED_TRACE(round);
    testing::MemoryFileSystem files(clock_);
    int made = 0;
    // The folders are there since long; that they survive is not the cutter's business.
    ASSERT_OK(files.CreateDirectories(paths_.cuts(), {}));
    ASSERT_OK(files.CreateDirectories(paths_.runnel(), {}));
    files.SyncEverything();
    while (made < kCuts) {
      const int until = made + static_cast<int>(random_.Below(5));
      {
        ASSERT_OK_AND_ASSIGN(Daemon daemon, Open(files));
        while (made < std::min(until, kCuts)) {
          ++made;
          ASSERT_OK(CutTo(files, daemon, states_[static_cast<std::size_t>(made)]));
          if (random_.Below(4) == 0) ASSERT_OK(daemon.cutter->Checkpoint());
        }
        files.PowerLoss(random_);
      }
      ASSERT_OK_AND_ASSIGN(const auto cuts, Apply(files));
      ASSERT_EQ(cuts.size(), static_cast<std::size_t>(made)) << "a durable cut is gone";
      ExpectHistory(cuts);
      if (made > 0) EXPECT_TRUE(cuts.back() == states_[static_cast<std::size_t>(made)]);
      if (HasFailure()) return;
    }
    ExpectGoesOn(files);
  }
}

// Somebody empties the state folder beside a daemon that has it.
TEST_F(CutterTest, PageChecksumsThatVanishAreNoticedAndMadeAnew) {
  testing::MemoryFileSystem files(clock_);
  ASSERT_OK_AND_ASSIGN(Daemon daemon, Open(files));
  ASSERT_OK(CutTo(files, daemon, states_[1]));
  ASSERT_OK(files.Remove(paths_.checksums()));
  EXPECT_FAILS(Errc::kPreconditionFailed, CutTo(files, daemon, states_[2]));
  ASSERT_OK(CutTo(files, daemon, states_[2]));
  ASSERT_OK(files.Remove(paths_.checksums()));
  EXPECT_FAILS(Errc::kPreconditionFailed, daemon.cutter->Checkpoint());
  ASSERT_OK(CutTo(files, daemon, states_[3]));
  ASSERT_OK_AND_ASSIGN(const auto cuts, Apply(files));
  EXPECT_EQ(cuts.size(), 3U);
  ExpectHistory(cuts);
}

// Otherwise the numbers of the replica would begin anew.
TEST_F(CutterTest, ANumberThatWasAdoptedOutlivesThePageChecksums) {
  testing::MemoryFileSystem files(clock_);
  ASSERT_OK_AND_ASSIGN(Daemon daemon, Open(files));
  daemon.cutter->Adopt(Txid{41});
  ASSERT_OK(daemon.cutter->StartOver(kPageSize));
  ASSERT_OK(daemon.cutter->ChecksumOf(PageNo{1}));
  ASSERT_OK(daemon.cutter->Checkpoint());  // closes it
  ASSERT_OK(files.Remove(paths_.checksums()));
  EXPECT_FAILS(Errc::kPreconditionFailed, CutTo(files, daemon, states_[1]));
  EXPECT_EQ(daemon.cutter->history().newest, Txid{41});
  ASSERT_OK(CutTo(files, daemon, states_[1]));
  EXPECT_EQ(daemon.cutter->history().newest, Txid{42});
}

// A page that joined the database unwritten is read from the live file, which may change meanwhile.
TEST_F(CutterTest, PageThatChangesBetweenTheTwoReadingsOfACutIsNoticed) {
  testing::MemoryFileSystem files(clock_);
  ASSERT_OK_AND_ASSIGN(Daemon daemon, Open(files));
  Segment segment(files, paths_.segment(Txid{1}), {},
                  {.page_size = kPageSize, .txid = Txid{1}, .position = {}, .commit_pages = 0}, {});
  ASSERT_OK(segment.AddPage(PageNo{1}, Bytes(kPageSize)));
  ASSERT_OK(segment.AddPage(PageNo{3}, Bytes(kPageSize)));
  segment.Commit(
      {.position = {.salts = {}, .frame = FrameNo{2}, .checksum = {}}, .commit_pages = 3});
  int reads = 0;
  const auto cut = [&](int changes_until) {
    return daemon.cutter->Cut({.segment = &segment,
                               .scan_spool = nullptr,
                               .read_raw = [&](PageNo page_no, MutableBytes page) -> Result<void> {
                                 EXPECT_EQ(page_no, PageNo{2});
                                 ++reads;
                                 page[0] = std::byte(std::min(reads, changes_until));
                                 return {};
                               },
                               .timestamp = clock_.Now()});
  };
  EXPECT_FALSE(cut(2));
  EXPECT_FALSE(daemon.staging->newest());
  ASSERT_OK(cut(2));
  ASSERT_OK_AND_ASSIGN(const auto cuts, Apply(files));
  EXPECT_EQ(cuts.back().pages[1][0], std::byte{2});
}

TEST_F(CutterTest, ForeignCutIsFoundAndItsChecksumsAreNotBelieved) {
  testing::MemoryFileSystem files(clock_);
  {
    ASSERT_OK_AND_ASSIGN(Daemon daemon, Open(files));
    ASSERT_OK(CutTo(files, daemon, states_[1]));
    ASSERT_OK(daemon.cutter->Checkpoint());
    const ltx::Header header{.page_size = kPageSize,
                             .commit_pages = 1,
                             .min_txid = Txid{2},
                             .max_txid = Txid{2},
                             .timestamp = clock_.Now() + std::chrono::seconds(1)};
    ASSERT_OK(daemon.staging->Append(header, {}, [](ltx::Encoder& encoder) {
      return encoder.WritePage(PageNo{1}, Bytes(kPageSize));
    }));
  }
  ASSERT_OK_AND_ASSIGN(auto staging, Staging::Open(files, paths_.cuts(), {}, log_));
  Cutter cutter({.paths = paths_, .ownership = {}}, files, *staging, log_);
  ASSERT_OK_AND_ASSIGN(const History history, cutter.Open());
  EXPECT_EQ(history.kind, HistoryKind::kForeign);
  EXPECT_EQ(history.newest, Txid{2});
  EXPECT_FALSE(history.position);
  EXPECT_OK(cutter.Checkpoint());  // nothing to write down
}

}  // namespace
}  // namespace runnel::capture
