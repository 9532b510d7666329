#include "restore/inventory.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "restore/plan.h"
#include "store/memory_store.h"
#include "testing/manual_clock.h"
#include "testing/result_matchers.h"

namespace runnel::restore {
namespace {

using store::LayoutKind;

WallTime At(std::uint64_t seconds) {
  return WallTime(std::chrono::seconds(static_cast<std::int64_t>(seconds)));
}

// Counts the questions asked of it.
class CountingStore final : public store::ObjectStore {
 public:
  explicit CountingStore(store::ObjectStore& store) : store_(store) {}

  std::string_view kind() const override { return store_.kind(); }
  std::string location() const override { return store_.location(); }
  store::Capabilities capabilities() const override { return store_.capabilities(); }
  Result<std::unique_ptr<store::ObjectWriter>> StartPut(const store::ObjectKey& key,
                                                        const store::PutOptions& put) override {
    return store_.StartPut(key, put);
  }
  Result<std::size_t> ReadAt(const store::ObjectKey& key, std::uint64_t offset,
                             MutableBytes out) override {
    return store_.ReadAt(key, offset, out);
  }
  Result<store::ObjectInfo> Head(const store::ObjectKey& key) override {
    ++heads;
    return store_.Head(key);
  }
  Result<store::ListPage> List(const std::string& prefix,
                               const std::optional<store::ObjectKey>& start_after,
                               std::size_t limit) override {
    ++lists;
    return store_.List(prefix, start_after, limit);
  }
  Result<void> Delete(std::span<const store::ObjectKey> keys) override {
    return store_.Delete(keys);
  }

  std::atomic<int> heads = 0;
  std::atomic<int> lists = 0;

 private:
  store::ObjectStore& store_;
};

class InventoryTest : public ::testing::Test {
 protected:
  void PutObject(const std::string& key, WallTime time = At(1)) {
    store::PutOptions options;
    options.timestamp = time;
    ASSERT_OK(store::PutObject(store_, store::ObjectKey(key), AsBytes("x"), options));
  }

  // A file whose time is `max` seconds, unless said otherwise.
  void PutFile(int level, std::uint64_t min, std::uint64_t max, std::uint64_t seconds = 0) {
    PutObject(
        layout_.LtxKey(Level{static_cast<std::uint8_t>(level)}, {Txid{min}, Txid{max}}).text(),
        At(seconds != 0 ? seconds : max));
  }

  std::string WhyEmpty(LayoutKind kind, const std::string& root) {
    const store::ReplicaLayout layout(kind, root);
    const auto inventory = ListReplica({&store_, &layout}, 2, {});
    EXPECT_FAILS(Errc::kNotFound, inventory);
    return inventory ? "" : inventory.error().message();
  }

  // Listings of this store do not have the true times.
  testing::ManualClock clock_;
  store::MemoryStore store_{
      clock_, {.conditional_writes = true, .bills_requests = true, .timestamps_in_list = false}};
  CountingStore counting_{store_};
  store::ReplicaLayout layout_{LayoutKind::kTree, "app"};
  Source source_{&counting_, &layout_};
};

TEST_F(InventoryTest, ListsLtxFilesAndNothingElse) {
  PutFile(9, 1, 5);
  PutFile(0, 7, 7);
  PutFile(0, 6, 6);
  PutObject("app/ltx/0/0000000000000008-0000000000000008.ltx.tmp");
  PutObject("app/ltx/0/0000000000000009-0000000000000008.ltx");
  PutObject("app/ltx/0/0000000000000000-0000000000000008.ltx");
  PutObject("app/runnel/claim.json");
  PutObject("app2/ltx/0/0000000000000008-0000000000000008.ltx");
  ASSERT_OK_AND_ASSIGN(const Inventory inventory, ListReplica(source_, 4, {}));
  ASSERT_EQ(inventory.files.size(), 3U);
  EXPECT_EQ(inventory.files[0].range, (store::TxidRange{Txid{6}, Txid{6}}));
  EXPECT_EQ(inventory.files[1].range, (store::TxidRange{Txid{7}, Txid{7}}));
  EXPECT_EQ(inventory.files[2].level, kLevelSnapshot);
  EXPECT_EQ(inventory.newest(), Txid{7});
  EXPECT_EQ(counting_.lists, kLevelCount);
}

TEST_F(InventoryTest, AnEmptyReplicaSaysWhatIsThereInstead) {
  EXPECT_NE(WhyEmpty(LayoutKind::kTree, "app").find("nothing is there"), std::string::npos);
  PutFile(0, 1, 1);
  EXPECT_NE(WhyEmpty(LayoutKind::kFlat, "app").find("its objects are named ltx/<level>/"),
            std::string::npos);
  EXPECT_NE(WhyEmpty(LayoutKind::kTree, "").find("a replica at path 'app'"), std::string::npos);
  EXPECT_NE(WhyEmpty(LayoutKind::kTree, "app/ltx").find("replica at path 'app'"),
            std::string::npos);
  EXPECT_NE(WhyEmpty(LayoutKind::kTree, "app/db/x").find("replica above it, at path 'app'"),
            std::string::npos);
  EXPECT_NE(WhyEmpty(LayoutKind::kTree, "ap").find("nothing is there"), std::string::npos);
  PutObject("old/generations/0123456789abcdef/snapshots/00000000.snapshot.lz4");
  EXPECT_NE(WhyEmpty(LayoutKind::kTree, "old").find("Litestream 0.3"), std::string::npos);
  PutObject("photos/cat.jpg");
  EXPECT_NE(WhyEmpty(LayoutKind::kTree, "photos").find("'photos/cat.jpg'"), std::string::npos);
  EXPECT_NE(WhyEmpty(LayoutKind::kTree, "photos").find("path 'photos'"), std::string::npos);
}

TEST_F(InventoryTest, AReplicaWithFlatNamesInTheRootIsFound) {
  PutObject("0000/0000000000000001-0000000000000001.ltx");
  EXPECT_NE(WhyEmpty(LayoutKind::kTree, "app").find("the root of the store"), std::string::npos);
}

// What was asked for is as good as having asked for everything, and is little.
TEST_F(InventoryTest, ResolvingTimesAsksOnlyWhereAPlanCouldTell) {
  constexpr std::uint64_t kCuts = 600;
  for (std::uint64_t txid = 1; txid <= kCuts; ++txid) PutFile(0, txid, txid);
  for (std::uint64_t max = 10; max <= kCuts; max += 10) PutFile(1, max - 9, max);
  for (std::uint64_t max = 100; max <= kCuts; max += 100) PutFile(2, max - 99, max);
  PutFile(9, 1, 150, 155);
  PutFile(9, 1, 450, 455);
  ASSERT_OK_AND_ASSIGN(const Inventory listed, ListReplica(source_, 4, {}));
  Inventory truth = listed;
  for (LtxFile& file : truth.files) {
    ASSERT_OK_AND_ASSIGN(const auto info, store_.Head(source_.KeyOf(file)));
    file.timestamp = info.timestamp;
  }
  for (std::uint64_t seconds = 1; seconds <= kCuts + 10; seconds += 7) {
    SCOPED_TRACE(seconds);
    counting_.heads = 0;
    ASSERT_OK_AND_ASSIGN(const Inventory resolved,
                         ResolveTimes(source_, listed, At(seconds), 4, {}));
    EXPECT_LE(counting_.heads, 2 + 6 + 10 + 10 + 1);
    const auto plan = MakePlan(resolved, Target::Before(At(seconds)));
    const auto true_plan = MakePlan(truth, Target::Before(At(seconds)));
    ASSERT_EQ(plan.has_value(), true_plan.has_value());
    if (plan) EXPECT_EQ(plan->files, true_plan->files);
  }
}

TEST_F(InventoryTest, AFileThatVanishesWhileTimesAreAskedIsLeftOut) {
  PutFile(9, 1, 5);
  PutFile(0, 6, 6);
  ASSERT_OK_AND_ASSIGN(const Inventory listed, ListReplica(source_, 1, {}));
  const std::vector<store::ObjectKey> gone = {source_.KeyOf(listed.files[0])};
  ASSERT_OK(store_.Delete(gone));
  ASSERT_OK_AND_ASSIGN(const Inventory resolved, ResolveTimes(source_, listed, At(100), 1, {}));
  ASSERT_EQ(resolved.files.size(), 1U);
  EXPECT_EQ(resolved.files[0].level, kLevelSnapshot);
}

TEST_F(InventoryTest, StopsWhenAskedTo) {
  PutFile(9, 1, 5);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_FAILS(Errc::kCancelled, ListReplica(source_, 2, stop.get_token()));
}

}  // namespace
}  // namespace runnel::restore
