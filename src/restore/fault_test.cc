// Whatever fails, and whenever the power does: the whole database, or none, and nothing beside it.

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "fs/file_operations.h"
#include "restore/restore.h"
#include "restore/testing.h"
#include "store/memory_store.h"
#include "testing/fault_file_system.h"
#include "testing/fault_store.h"
#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"

namespace runnel::restore {
namespace {

using runnel::testing::FaultFileSystem;
using runnel::testing::FaultStore;
using runnel::testing::FileFault;
using runnel::testing::ManualClock;
using runnel::testing::MemoryFileSystem;
using runnel::testing::SeededRandom;
using runnel::testing::StoreFault;
using testing::History;
using testing::ReplicaWriter;
using testing::Tag;

constexpr std::size_t kAnySize = 1 << 30;

// A replica, and one restore of it into a new folder.
class Scenario {
 public:
  struct Kind {
    const char* name;
    Tag tag;
    bool bills_requests;  // of the store
  };

  explicit Scenario(const Kind& kind)
      : store_(clock_, {.conditional_writes = true,
                        .bills_requests = kind.bills_requests,
                        .timestamps_in_list = true}) {
    std::mt19937_64 random(17);
    for (int i = 0; i < 8; ++i) history_.RandomCut(random, 30);
    // Larger than one piece, so that every way of reading is taken.
    history_.Cut({}, 700);
    ReplicaWriter writer(store_, layout_, history_);
    const testing::WriteOptions options{.tag = kind.tag, .encoding = ltx::PageEncoding::kBlock};
    EXPECT_OK(writer.Put(9, 1, 5, options));
    for (std::uint64_t txid = 6; txid <= 9; ++txid) EXPECT_OK(writer.Put(0, txid, txid, options));
    image_ = history_.ImageAt(Txid{9});
  }

  Result<Report> Restore(fs::FileSystem& files, store::ObjectStore& store, int parallelism,
                         Overwrite overwrite = Overwrite::kRefuse) {
    const std::vector<Destination> destinations = {{"a", {&store, &layout_}}};
    NullLogger log;
    ExecuteOptions options;
    options.output = "/new/db";
    options.output_options.overwrite = overwrite;
    options.parallelism = parallelism;
    return Restorer(files, clock_, log).Restore(destinations, Target::Latest(), options);
  }

  ManualClock& clock() { return clock_; }
  store::ObjectStore& store() { return store_; }
  const Bytes& image() const { return image_; }

 private:
  ManualClock clock_;
  store::MemoryStore store_;
  store::ReplicaLayout layout_{store::LayoutKind::kTree, ""};
  History history_{512};
  Bytes image_;
};

void ExpectEmpty(MemoryFileSystem& files) {
  ASSERT_OK_AND_ASSIGN(const auto entries, files.List("/"));
  EXPECT_TRUE(entries.empty()) << entries.front().name;
  EXPECT_EQ(files.open_file_count(), 0U);
  EXPECT_EQ(files.lock_count(), 0U);
}

class RestoreFaultTest : public ::testing::TestWithParam<Scenario::Kind> {
 protected:
  Scenario scenario_{GetParam()};
};

// Each reads files in a way of its own.
INSTANTIATE_TEST_SUITE_P(Ways, RestoreFaultTest,
                         ::testing::Values(Scenario::Kind{"Merged", Tag::kChain, false},
                                           Scenario::Kind{"ByIndex", Tag::kChain, true},
                                           Scenario::Kind{"Whole", Tag::kNone, false}),
                         [](const auto& tested) { return tested.param.name; });

TEST_P(RestoreFaultTest, AnyFileCallMayFailOnce) {
  for (const auto effect :
       {FileFault::Effect::kNone, FileFault::Effect::kPartial, FileFault::Effect::kWhole}) {
    std::uint64_t calls = 1;
    for (std::uint64_t n = 1; n <= calls; ++n) {
      SCOPED_TRACE(n);
      MemoryFileSystem disk(scenario_.clock());
      FaultFileSystem files(disk);
      // A lock that was taken though the call failed leaves an empty temporary file that may be
      // another restore's: it stays.
      files.CountOnly([&](const runnel::testing::FileCallRecord& record) {
        return record.call != runnel::testing::FileCall::kLock ||
               effect != FileFault::Effect::kWhole;
      });
      files.FailAt(n, {.effect = effect});
      const auto report = scenario_.Restore(files, scenario_.store(), 1);
      if (report) {
        ASSERT_OK_AND_ASSIGN(const Bytes restored, fs::ReadFile(disk, "/new/db", kAnySize));
        ASSERT_EQ(restored, scenario_.image());
      } else {
        SCOPED_TRACE(files.RecentCalls());
        ExpectEmpty(disk);
      }
      ASSERT_TRUE(report || files.failure_count() > 0) << report.error().message();
      calls = files.failure_count() > 0 ? n + 1 : n;
    }
    EXPECT_GT(calls, 15U);
  }
}

TEST_P(RestoreFaultTest, ADiskThatFailsForGoodNeverShowsAPart) {
  std::uint64_t calls = 1;
  for (std::uint64_t n = 1; n <= calls; ++n) {
    SCOPED_TRACE(n);
    MemoryFileSystem disk(scenario_.clock());
    FaultFileSystem files(disk);
    files.FailAt(n, {.code = Errc::kNoSpace, .duration = FileFault::Duration::kFromThenOn});
    const auto report = scenario_.Restore(files, scenario_.store(), 2);
    const auto restored = fs::ReadFile(disk, "/new/db", kAnySize);
    if (restored) ASSERT_EQ(*restored, scenario_.image());
    ASSERT_EQ(report.has_value(), files.failure_count() == 0);
    calls = files.failure_count() > 0 ? n + 1 : n;
  }
}

TEST_P(RestoreFaultTest, AnyStoreCallMayFail) {
  for (const auto kind : {StoreFault::Kind::kFail, StoreFault::Kind::kTear}) {
    for (const int parallelism : {1, 4}) {
      std::uint64_t calls = 1;
      for (std::uint64_t n = 1; n <= calls; ++n) {
        SCOPED_TRACE(n);
        MemoryFileSystem disk(scenario_.clock());
        FaultStore store(scenario_.store(), scenario_.clock());
        store.At(n, {.kind = kind});
        const auto report = scenario_.Restore(disk, store, parallelism);
        calls = store.call_count() >= n ? n + 1 : n;
        if (report) {
          ASSERT_OK_AND_ASSIGN(const Bytes restored, fs::ReadFile(disk, "/new/db", kAnySize));
          ASSERT_EQ(restored, scenario_.image());
          continue;
        }
        ASSERT_EQ(report.error().code(), Errc::kUnavailable) << report.error().message();
        ExpectEmpty(disk);
      }
      EXPECT_GT(calls, 14U);
    }
  }
}

// The disk fails for good at the n-th call, then the power goes: as if it had gone at that call.
TEST_P(RestoreFaultTest, PowerLossAtAnyFileCallLeavesTheWholeOrNothing) {
  std::uint64_t seed = 0;
  std::uint64_t calls = 1;
  for (std::uint64_t n = 1; n <= calls; ++n) {
    for (int round = 0; round < 4; ++round) {
      SCOPED_TRACE(++seed);
      SeededRandom random(seed);
      MemoryFileSystem disk(scenario_.clock());
      FaultFileSystem files(disk);
      files.FailAt(n, {.duration = FileFault::Duration::kFromThenOn});
      const auto report = scenario_.Restore(files, scenario_.store(), 2);
      calls = files.failure_count() > 0 ? n + 1 : n;
      disk.PowerLoss(random);
      const auto restored = fs::ReadFile(disk, "/new/db", kAnySize);
      if (restored) ASSERT_EQ(*restored, scenario_.image());
      ASSERT_TRUE(restored || !report) << restored.error().message();
      // Whatever was left is in nobody's way.
      if (!restored) ASSERT_OK(scenario_.Restore(disk, scenario_.store(), 2));
    }
  }
}

// There is a database already, with a WAL: old, or new, or neither, but never a mix.
TEST_P(RestoreFaultTest, PowerLossWhileReplacingNeverMixesOldAndNew) {
  std::uint64_t seed = 1000;
  std::uint64_t calls = 1;
  for (std::uint64_t n = 1; n <= calls; ++n) {
    for (int round = 0; round < 4; ++round) {
      SCOPED_TRACE(++seed);
      SeededRandom random(seed);
      MemoryFileSystem disk(scenario_.clock());
      ASSERT_OK(disk.CreateDirectories("/new", {}));
      ASSERT_OK(fs::ReplaceFile(disk, "/new/db", AsBytes("old database"), {}));
      ASSERT_OK(fs::ReplaceFile(disk, "/new/db-wal", AsBytes("old WAL"), {}));
      disk.SyncEverything();
      FaultFileSystem files(disk);
      files.FailAt(n, {.duration = FileFault::Duration::kFromThenOn});
      const auto report = scenario_.Restore(files, scenario_.store(), 2, Overwrite::kReplace);
      calls = files.failure_count() > 0 ? n + 1 : n;
      disk.PowerLoss(random);
      const auto restored = fs::ReadFile(disk, "/new/db", kAnySize);
      const auto wal = fs::ReadFile(disk, "/new/db-wal", kAnySize);
      ASSERT_TRUE(restored || !report);
      if (!restored) continue;
      if (*restored == scenario_.image()) {
        ASSERT_FALSE(wal);
      } else {
        ASSERT_EQ(AsText(*restored), "old database");
        ASSERT_TRUE(wal);
        ASSERT_FALSE(report);
      }
    }
  }
}

}  // namespace
}  // namespace runnel::restore
