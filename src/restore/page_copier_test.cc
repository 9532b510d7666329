#include "restore/page_copier.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "fs/file_operations.h"
#include "restore/execute.h"
#include "restore/testing.h"
#include "store/memory_store.h"
#include "testing/fault_file_system.h"
#include "testing/fault_store.h"
#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"

namespace runnel::restore {
namespace {

using runnel::testing::FaultFileSystem;
using runnel::testing::FaultStore;
using runnel::testing::FileCall;
using runnel::testing::FileCallRecord;
using testing::History;
using testing::ReplicaWriter;

constexpr std::uint32_t kPageSize = 4096;
constexpr std::uint32_t kPages = 5'000;  // five regions of the output
constexpr std::uint64_t kWriteBytes = 64 << 10;

// A snapshot, and files that each change a page here and there.
class StrewnPagesTest : public ::testing::Test {
 protected:
  explicit StrewnPagesTest(store::Capabilities capabilities = {}) : store_(clock_, capabilities) {
    history_.Cut({}, kPages);
    Put(9, {.tag = testing::Tag::kChain});
  }

  // Adds `files`, each too large to be fetched whole.
  void Add(int files, testing::WriteOptions options = {}) {
    for (int i = 0; i < files; ++i) {
      std::vector<std::uint32_t> pages;
      for (int k = 0; k < 120; ++k) {
        pages.push_back(1 + static_cast<std::uint32_t>(random_() % kPages));
      }
      history_.Cut(std::move(pages), kPages);
      Put(0, options);
    }
  }

  Result<Outcome> Restore() {
    RUNNEL_TRY(const Inventory inventory, ListReplica(source_, 1, {}));
    RUNNEL_TRY(const Plan plan, MakePlan(inventory, Target::Latest()));
    ExecuteOptions options;
    options.output = "/db";
    options.parallelism = 3;
    store_calls_.Heal();
    writes_.CountOnly([](const FileCallRecord& call) { return call.call == FileCall::kWrite; });
    return Executor(writes_, clock_, options).Run(source_, plan);
  }

  bool OutputIsRight() {
    const auto bytes = fs::ReadFile(disk_, "/db", 1 << 30);
    return bytes && *bytes == history_.ImageAt(history_.newest());
  }

  std::uint64_t write_count() const { return writes_.call_count(); }
  std::uint64_t request_count() const { return store_calls_.call_count(); }

 private:
  void Put(int level, testing::WriteOptions options) {
    const std::uint64_t txid = ToInt(history_.newest());
    const auto file = ReplicaWriter(store_, layout_, history_).Put(level, txid, txid, options);
    ASSERT_OK(file);
    ASSERT_GT(file->size_bytes, kSmallFileBytes);
  }

  std::mt19937_64 random_{23};
  runnel::testing::ManualClock clock_;
  runnel::testing::MemoryFileSystem disk_{clock_};
  FaultFileSystem writes_{disk_};
  store::MemoryStore store_;
  FaultStore store_calls_{store_, clock_};
  store::ReplicaLayout layout_{store::LayoutKind::kTree, "app"};
  Source source_{&store_calls_, &layout_};
  History history_{kPageSize};
};

class BilledStrewnPagesTest : public StrewnPagesTest {
 protected:
  BilledStrewnPagesTest() : StrewnPagesTest({.bills_requests = true}) {}
};

TEST_F(StrewnPagesTest, AreWrittenTogetherWithTheirNeighbours) {
  Add(20);
  ASSERT_OK(Restore());
  EXPECT_TRUE(OutputIsRight());
  EXPECT_EQ(write_count(), (kPages * kPageSize + kWriteBytes - 1) / kWriteBytes);
}

TEST_F(StrewnPagesTest, OfMoreFilesThanAreMergedAreKept) {
  Add(60);
  ASSERT_OK(Restore());
  EXPECT_TRUE(OutputIsRight());
}

TEST_F(StrewnPagesTest, OfAFileThatIsReadWholeAreKept) {
  Add(3);
  Add(1, {.tag = testing::Tag::kNone});
  Add(2);
  ASSERT_OK_AND_ASSIGN(const Outcome outcome, Restore());
  EXPECT_EQ(outcome.proof, Proof::kChain);
  EXPECT_TRUE(OutputIsRight());
}

TEST_F(BilledStrewnPagesTest, CostFewRequests) {
  constexpr int kFiles = 20;
  Add(kFiles);
  ASSERT_OK(Restore());
  EXPECT_TRUE(OutputIsRight());
  constexpr std::uint64_t kForEach = 3;  // header, index, pages
  constexpr std::uint64_t kForSnapshot = 3 + (kPages * kPageSize >> 20);
  EXPECT_LE(request_count(), kFiles * kForEach + kForSnapshot);
}

}  // namespace
}  // namespace runnel::restore
