#include "restore/execute.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "fs/file_operations.h"
#include "fs/posix_file_system.h"
#include "restore/testing.h"
#include "store/memory_store.h"
#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"
#include "testing/temp_dir.h"

namespace runnel::restore {
namespace {

using testing::History;
using testing::ReplicaWriter;
using testing::Tag;
using testing::WriteOptions;

constexpr WriteOptions kUntagged{.tag = Tag::kNone, .encoding = ltx::PageEncoding::kBlock};
constexpr WriteOptions kUntaggedFrames{.tag = Tag::kNone, .encoding = ltx::PageEncoding::kFrame};
constexpr WriteOptions kTagged{};
constexpr WriteOptions kTaggedFrames{.tag = Tag::kChain, .encoding = ltx::PageEncoding::kFrame};

constexpr store::Capabilities kCheapReads{
    .conditional_writes = true, .bills_requests = false, .timestamps_in_list = true};
constexpr store::Capabilities kBilledReads{
    .conditional_writes = true, .bills_requests = true, .timestamps_in_list = true};

class ExecutorTest : public ::testing::Test {
 protected:
  explicit ExecutorTest(store::Capabilities capabilities = kCheapReads)
      : store_(clock_, capabilities) {}

  Plan MustPlan(const Target& target = Target::Latest()) {
    const auto inventory = ListReplica(source_, 1, {});
    EXPECT_OK(inventory);
    if (!inventory) return {};
    auto plan = MakePlan(*inventory, target);
    EXPECT_OK(plan);
    return plan ? *std::move(plan) : Plan{};
  }

  ExecuteOptions Options(int parallelism = 2) {
    ExecuteOptions options;
    options.output = "/db";
    options.parallelism = parallelism;
    return options;
  }

  Result<Outcome> Run(const ExecuteOptions& options, const Plan& plan) {
    Executor executor(files_, clock_, options);
    auto outcome = executor.Run(source_, plan);
    if (!outcome) fault_ = executor.FaultOf(outcome.error());
    return outcome;
  }

  // Puts a snapshot, compacted files and single ones, and changes much.
  void PutRandomReplica(History& history, std::mt19937_64& random,
                        const std::vector<WriteOptions>& kinds) {
    ReplicaWriter writer(store_, layout_, history);
    for (int i = 0; i < 30; ++i) history.RandomCut(random, 60);
    const auto kind = [&] { return kinds[random() % kinds.size()]; };
    ASSERT_OK(writer.Put(9, 1, 10, kind()));
    ASSERT_OK(writer.Put(2, 8, 19, kind()));
    ASSERT_OK(writer.Put(1, 20, 22, kind()));
    ASSERT_OK(writer.Put(1, 23, 26, kind()));
    for (std::uint64_t txid = 27; txid <= 30; ++txid) ASSERT_OK(writer.Put(0, txid, txid, kind()));
  }

  void ClearStore() {
    const auto objects = store::ListAll(store_, "");
    ASSERT_OK(objects);
    std::vector<store::ObjectKey> keys;
    for (const store::ObjectInfo& object : *objects) keys.push_back(object.key);
    ASSERT_OK(store_.Delete(keys));
  }

  Bytes Output() {
    auto bytes = fs::ReadFile(files_, "/db", 1 << 30);
    EXPECT_OK(bytes);
    return bytes ? *std::move(bytes) : Bytes{};
  }

  void ExpectNothingLeft() {
    const auto entries = files_.List("/");
    ASSERT_OK(entries);
    for (const fs::DirectoryEntry& entry : *entries) ADD_FAILURE() << entry.name << " is left";
    EXPECT_EQ(files_.open_file_count(), 0U);
    EXPECT_EQ(files_.lock_count(), 0U);
  }

  runnel::testing::ManualClock clock_;
  runnel::testing::MemoryFileSystem files_{clock_};
  store::MemoryStore store_;
  store::ReplicaLayout layout_{store::LayoutKind::kTree, "app"};
  Source source_{&store_, &layout_};
  Fault fault_;
};

// What files are read by is chosen by what a read costs.
class AnyStoreExecutorTest : public ExecutorTest,
                             public ::testing::WithParamInterface<store::Capabilities> {
 protected:
  AnyStoreExecutorTest() : ExecutorTest(GetParam()) {}
};

INSTANTIATE_TEST_SUITE_P(Stores, AnyStoreExecutorTest, ::testing::Values(kCheapReads, kBilledReads),
                         [](const auto& tested) {
                           return tested.param.bills_requests ? "Billed" : "Cheap";
                         });

TEST_P(AnyStoreExecutorTest, RestoresAnyMixOfEncodingsAndChainsAtAnyParallelism) {
  const std::vector<std::vector<WriteOptions>> mixes = {
      {kTagged},
      {kTaggedFrames},
      {kUntagged},
      {kUntaggedFrames},
      {kTagged, kTaggedFrames, kUntagged, kUntaggedFrames}};
  std::uint64_t seed = 0;
  for (const auto& mix : mixes) {
    for (const std::uint32_t page_size : {512U, 4096U, 65536U}) {
      SCOPED_TRACE(++seed);
      std::mt19937_64 random(seed);
      ClearStore();
      History history(page_size);
      PutRandomReplica(history, random, mix);
      const Bytes expected = history.ImageAt(Txid{30});
      for (const int parallelism : {1, 2, 3, 8}) {
        ASSERT_OK_AND_ASSIGN(const Outcome outcome, Run(Options(parallelism), MustPlan()));
        EXPECT_EQ(outcome.txid, Txid{30});
        EXPECT_EQ(outcome.timestamp, History::TimeOf(Txid{30}));
        EXPECT_EQ(outcome.database_bytes, expected.size());
        EXPECT_EQ(outcome.page_size, page_size);
        ASSERT_EQ(Output(), expected) << "parallelism " << parallelism;
        ASSERT_OK(files_.Remove("/db"));
      }
    }
  }
}

TEST_F(ExecutorTest, EveryRestorableTxidIsThatState) {
  std::mt19937_64 random(5);
  History history(1024);
  PutRandomReplica(history, random, {kTagged, kUntagged});
  ASSERT_OK_AND_ASSIGN(const Inventory inventory, ListReplica(source_, 1, {}));
  const std::vector<Txid> points = RestorableTxids(inventory);
  EXPECT_EQ(points.size(), 8U);
  for (const Txid txid : points) {
    SCOPED_TRACE(FormatTxid(txid));
    ASSERT_OK_AND_ASSIGN(const Outcome outcome, Run(Options(), MustPlan(Target::AtTxid(txid))));
    EXPECT_EQ(outcome.txid, txid);
    ASSERT_EQ(Output(), history.ImageAt(txid));
    ASSERT_OK(files_.Remove("/db"));
  }
}

TEST_F(ExecutorTest, TheNewestFileDecidesWhatProvesTheResult) {
  History history(512);
  history.Cut({}, 9);
  history.Cut({3}, 9);
  ReplicaWriter writer(store_, layout_, history);
  ASSERT_OK(writer.Put(9, 1, 1, kUntagged));
  ASSERT_OK(writer.Put(0, 2, 2, kTagged));
  ASSERT_OK_AND_ASSIGN(Outcome outcome, Run(Options(), MustPlan()));
  EXPECT_EQ(outcome.proof, Proof::kChain);
  ASSERT_OK(files_.Remove("/db"));
  ASSERT_OK(writer.Put(9, 1, 1, kTagged));
  ASSERT_OK(writer.Put(0, 2, 2, kUntagged));
  ASSERT_OK_AND_ASSIGN(outcome, Run(Options(), MustPlan()));
  EXPECT_EQ(outcome.proof, Proof::kFileChecksums);
}

TEST_P(AnyStoreExecutorTest, LargeFilesAreReadInRangesAndPieces) {
  // 6 MiB of pages: several ranges, pieces and batches, and an index of several windows.
  for (const WriteOptions kind : {kTagged, kUntagged}) {
    History history(512);
    history.Cut({}, 12'000);
    std::vector<std::uint32_t> some;
    for (std::uint32_t page = 1; page <= 12'000; page += 7) some.push_back(page);
    history.Cut(some, 11'990);
    ReplicaWriter writer(store_, layout_, history);
    ASSERT_OK(writer.Put(9, 1, 1, kind));
    ASSERT_OK(writer.Put(0, 2, 2, kind));
    for (const int parallelism : {1, 4}) {
      ASSERT_OK(Run(Options(parallelism), MustPlan()));
      ASSERT_EQ(Output(), history.ImageAt(Txid{2}));
      ASSERT_OK(files_.Remove("/db"));
    }
  }
}

TEST_P(AnyStoreExecutorTest, ManySmallFilesAreRestored) {
  for (const WriteOptions kind : {kTagged, kUntagged}) {
    std::mt19937_64 random(7);
    History history(512);
    ReplicaWriter writer(store_, layout_, history);
    for (std::uint64_t txid = 1; txid <= 500; ++txid) {
      history.RandomCut(random, 200);
      ASSERT_OK(writer.Put(0, txid, txid, kind));
    }
    for (const int parallelism : {1, 8}) {
      ASSERT_OK(Run(Options(parallelism), MustPlan()));
      ASSERT_EQ(Output(), history.ImageAt(Txid{500}));
      ASSERT_OK(files_.Remove("/db"));
    }
  }
}

TEST_F(ExecutorTest, AFullCopyWithAnotherPageSizeStartsOver) {
  History old_history(512);
  old_history.Cut({}, 20);
  ASSERT_OK(ReplicaWriter(store_, layout_, old_history).Put(9, 1, 1, kUntagged));
  History history(1024);
  history.Cut({}, 0);
  history.Cut({}, 10);
  ASSERT_OK(ReplicaWriter(store_, layout_, history).Put(0, 2, 2, kUntagged));
  ASSERT_OK_AND_ASSIGN(const Outcome outcome, Run(Options(), MustPlan()));
  EXPECT_EQ(outcome.page_size, 1024U);
  EXPECT_EQ(Output(), history.ImageAt(Txid{2}));
}

TEST_P(AnyStoreExecutorTest, APageThatNoFileHoldsIsSaid) {
  History history(512);
  history.Cut({}, 10);
  history.Cut({2}, 20);
  ReplicaWriter writer(store_, layout_, history);
  for (const WriteOptions kind : {kTagged, kUntagged}) {
    ASSERT_OK(writer.Put(9, 1, 1, kind));
    ltx::Header header = history.HeaderOf({Txid{2}, Txid{2}}, kind.tag);
    header.commit_pages = 30;
    ASSERT_OK(writer.PutWithHeader(0, header));
    const auto outcome = Run(Options(), MustPlan());
    ASSERT_FAILS(Errc::kCorruption, outcome);
    EXPECT_NE(outcome.error().message().find("page 21"), std::string::npos)
        << outcome.error().message();
    ExpectNothingLeft();
  }
}

class ChainBreakTest : public ExecutorTest {
 protected:
  void SetUp() override {
    std::mt19937_64 random(3);
    for (int i = 0; i < 6; ++i) history_.RandomCut(random, 20);
    ReplicaWriter writer(store_, layout_, history_);
    ASSERT_OK(writer.Put(9, 1, 2));
    ASSERT_OK(writer.Put(0, 3, 3));
    ltx::Header broken = history_.HeaderOf({Txid{4}, Txid{4}}, Tag::kChain);
    broken.chain->before = DatabaseChecksum{ToInt(broken.chain->before) + 1};
    ASSERT_OK(writer.PutWithHeader(0, broken));
    ASSERT_OK(writer.Put(0, 5, 5));
  }

  History history_{512};
};

TEST_F(ChainBreakTest, FailsNamingTheLastGoodTxid) {
  const auto outcome = Run(Options(), MustPlan());
  ASSERT_FAILS(Errc::kCorruption, outcome);
  EXPECT_NE(outcome.error().message().find("0000000000000003"), std::string::npos)
      << outcome.error().message();
  EXPECT_EQ(fault_.place, FaultPlace::kSource);
  ExpectNothingLeft();
}

TEST_F(ChainBreakTest, UpToBreakRestoresTheLastGoodTxid) {
  ExecuteOptions options = Options();
  options.chain_policy = ChainPolicy::kUpToBreak;
  ASSERT_OK_AND_ASSIGN(const Outcome outcome, Run(options, MustPlan()));
  EXPECT_EQ(outcome.txid, Txid{3});
  EXPECT_EQ(outcome.break_after, Txid{3});
  EXPECT_EQ(outcome.proof, Proof::kChain);
  EXPECT_EQ(Output(), history_.ImageAt(Txid{3}));
}

TEST_F(ChainBreakTest, IgnoreRestoresAllAndProvesTheFilesOnly) {
  ExecuteOptions options = Options();
  options.chain_policy = ChainPolicy::kIgnore;
  ASSERT_OK_AND_ASSIGN(const Outcome outcome, Run(options, MustPlan()));
  EXPECT_EQ(outcome.txid, Txid{5});
  EXPECT_EQ(outcome.break_after, Txid{3});
  EXPECT_EQ(outcome.proof, Proof::kFileChecksums);
  EXPECT_EQ(Output(), history_.ImageAt(Txid{5}));
}

TEST_P(AnyStoreExecutorTest, PagesThatDoNotAddUpAreCorruption) {
  History history(512);
  history.Cut({}, 10);
  history.Cut({2}, 10);
  ReplicaWriter writer(store_, layout_, history);
  ASSERT_OK(writer.Put(9, 1, 1));
  ltx::Header header = history.HeaderOf({Txid{2}, Txid{2}}, Tag::kChain);
  header.chain->after = DatabaseChecksum{ToInt(header.chain->after) + 1};
  ASSERT_OK(writer.PutWithHeader(0, header));
  const auto outcome = Run(Options(), MustPlan());
  ASSERT_FAILS(Errc::kCorruption, outcome);
  EXPECT_NE(outcome.error().message().find("add up"), std::string::npos);
  EXPECT_FALSE(fault_.file);  // each file by itself is sound
  ExpectNothingLeft();
}

TEST_F(ExecutorTest, TheCheckSeesTheFinishedFileAndCanRefuseIt) {
  History history(512);
  history.Cut({}, 10);
  ASSERT_OK(ReplicaWriter(store_, layout_, history).Put(9, 1, 1));
  ExecuteOptions options = Options();
  Bytes seen;
  options.check = [&](const fs::Path& path) -> Result<void> {
    RUNNEL_TRY(seen, fs::ReadFile(files_, path, 1 << 20));
    return Fail(Errc::kCorruption, "row 3 is missing from an index");
  };
  const auto outcome = Run(options, MustPlan());
  ASSERT_FAILS(Errc::kCorruption, outcome);
  EXPECT_EQ(seen, history.ImageAt(Txid{1}));
  EXPECT_NE(outcome.error().message().find("row 3"), std::string::npos);
  ExpectNothingLeft();
}

TEST_P(AnyStoreExecutorTest, ReportsProgressToTheEnd) {
  std::mt19937_64 random(11);
  History history(512);
  PutRandomReplica(history, random, {kTagged});
  std::vector<RestoreProgress> seen;
  ExecuteOptions options = Options();
  options.on_progress = [&](const RestoreProgress& progress) {
    if (!seen.empty()) EXPECT_GE(progress.done_bytes, seen.back().done_bytes);
    seen.push_back(progress);
    clock_.Advance(std::chrono::seconds(1));
  };
  ASSERT_OK_AND_ASSIGN(const Outcome outcome, Run(options, MustPlan()));
  ASSERT_GE(seen.size(), 2U);
  EXPECT_EQ(seen.front().done_bytes, 0U);
  EXPECT_EQ(seen.back().stage, RestoreStage::kSyncing);
  EXPECT_EQ(seen.back().done_bytes, outcome.database_bytes);
  EXPECT_EQ(seen.back().total_bytes, outcome.database_bytes);
  EXPECT_EQ(seen.back().done_files, seen.back().total_files);
}

TEST_P(AnyStoreExecutorTest, CanBeCancelledAtAnyProgress) {
  for (const WriteOptions kind : {kTagged, kUntagged}) {
    History history(512);
    history.Cut({}, 12'000);
    ASSERT_OK(ReplicaWriter(store_, layout_, history).Put(9, 1, 1, kind));
    for (int at = 0; at < 3; ++at) {
      std::stop_source stop;
      ExecuteOptions options = Options();
      options.stop = stop.get_token();
      int calls = 0;
      options.on_progress = [&](const RestoreProgress&) {
        clock_.Advance(std::chrono::seconds(1));
        if (calls++ == at) stop.request_stop();
      };
      EXPECT_FAILS(Errc::kCancelled, Run(options, MustPlan()));
      EXPECT_EQ(fault_.place, FaultPlace::kCaller);
      ExpectNothingLeft();
    }
  }
}

TEST_F(ExecutorTest, WorksOnARealDisk) {
  std::mt19937_64 random(13);
  History history(4096);
  PutRandomReplica(history, random, {kTagged});
  const runnel::testing::TempDir folder;
  fs::PosixFileSystem files;
  ExecuteOptions options = Options(4);
  options.output = folder.path() / "new" / "db";
  Executor executor(files, clock_, options);
  ASSERT_OK(executor.Run(source_, MustPlan()));
  ASSERT_OK_AND_ASSIGN(const Bytes restored, fs::ReadFile(files, options.output, 1 << 30));
  EXPECT_EQ(restored, history.ImageAt(Txid{30}));
  Executor again(files, clock_, options);
  EXPECT_FAILS(Errc::kAlreadyExists, again.Run(source_, MustPlan()));
}

// Every byte of every object, turned over one at a time: a restore fails, or nothing has changed.
TEST_P(AnyStoreExecutorTest, AFlippedByteNeverMakesAWrongDatabase) {
  struct Kinds {
    WriteOptions base;
    WriteOptions middle;
    WriteOptions newest;
  };
  for (const Kinds& kinds :
       {Kinds{kTagged, kTagged, kTagged}, Kinds{kUntagged, kUntagged, kUntagged},
        Kinds{kTaggedFrames, kTaggedFrames, kTaggedFrames},
        Kinds{kUntaggedFrames, kUntaggedFrames, kUntaggedFrames},
        Kinds{kUntagged, kTagged, kTagged}, Kinds{kTagged, kTagged, kUntagged}}) {
    ClearStore();
    History history(512);
    history.Cut({}, 3);
    history.Cut({2}, 4);
    history.Cut({1}, 4);
    ReplicaWriter writer(store_, layout_, history);
    ASSERT_OK(writer.Put(9, 1, 1, kinds.base));
    ASSERT_OK(writer.Put(1, 2, 2, kinds.middle));
    ASSERT_OK(writer.Put(0, 3, 3, kinds.newest));
    const Bytes expected = history.ImageAt(Txid{3});
    const Plan plan = MustPlan();
    int harmless = 0;
    int found = 0;
    // What is read is the same, only put together otherwise.
    const std::size_t step = GetParam().bills_requests ? 7 : 1;
    for (const LtxFile& file : plan.files) {
      const store::ObjectKey key = source_.KeyOf(file);
      ASSERT_OK_AND_ASSIGN(const Bytes good, store::ReadObject(store_, key, 1 << 20));
      for (std::size_t i = 0; i < good.size(); i += step) {
        Bytes bad = good;
        bad[i] ^= static_cast<std::byte>(1U << (i % 8));
        ASSERT_OK(store::PutObject(store_, key, bad, {}));
        const auto outcome = Run(Options(1), plan);
        if (outcome) {
          ASSERT_EQ(Output(), expected) << key.text() << " byte " << i;
          ASSERT_OK(files_.Remove("/db"));
          ++harmless;
        } else {
          ASSERT_EQ(outcome.error().code(), Errc::kCorruption) << outcome.error().message();
          ++found;
        }
      }
      ASSERT_OK(store::PutObject(store_, key, good, {}));
    }
    // By their index only what counts of the files is read. Read whole, hardly a flip is without
    // effect: one that makes LZ4 copy the same bytes from another place.
    const bool all_read_whole = kinds.newest.tag == Tag::kNone;
    EXPECT_LT(harmless * (all_read_whole ? 20 : 1), found);
    ExpectNothingLeft();
  }
}

TEST_P(AnyStoreExecutorTest, ATruncatedObjectIsCorruption) {
  for (const WriteOptions kind : {kTagged, kUntagged}) {
    History history(512);
    history.Cut({}, 3);
    history.Cut({2}, 3);
    ReplicaWriter writer(store_, layout_, history);
    ASSERT_OK(writer.Put(9, 1, 1, kind));
    ASSERT_OK(writer.Put(0, 2, 2, kind));
    const Plan good_plan = MustPlan();
    for (const LtxFile& file : good_plan.files) {
      const store::ObjectKey key = source_.KeyOf(file);
      ASSERT_OK_AND_ASSIGN(const Bytes good, store::ReadObject(store_, key, 1 << 20));
      for (std::size_t size = 0; size < good.size(); ++size) {
        ASSERT_OK(store::PutObject(store_, key, ByteView(good).first(size), {}));
        // As listed before and after the damage.
        ASSERT_FAILS(Errc::kCorruption, Run(Options(1), good_plan)) << size;
        ASSERT_FAILS(Errc::kCorruption, Run(Options(1), MustPlan())) << size;
        ASSERT_TRUE(fault_.file);
        ASSERT_EQ(source_.KeyOf(*fault_.file), key);
      }
      ASSERT_OK(store::PutObject(store_, key, good, {}));
    }
    ExpectNothingLeft();
  }
}

TEST_F(ExecutorTest, AnObjectThatIsGoneIsNamed) {
  History history(512);
  history.Cut({}, 3);
  ASSERT_OK(ReplicaWriter(store_, layout_, history).Put(9, 1, 1));
  const Plan plan = MustPlan();
  ClearStore();
  EXPECT_FAILS(Errc::kUnavailable, Run(Options(), plan));
  EXPECT_EQ(fault_.file, plan.files.front());
  ExpectNothingLeft();
}

}  // namespace
}  // namespace runnel::restore
