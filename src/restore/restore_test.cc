#include "restore/restore.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "fs/file_operations.h"
#include "restore/testing.h"
#include "store/memory_store.h"
#include "testing/capturing_logger.h"
#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"

namespace runnel::restore {
namespace {

using testing::History;
using testing::ReplicaWriter;

class RestorerTest : public ::testing::Test {
 protected:
  RestorerTest() {
    std::mt19937_64 random(1);
    for (int i = 0; i < 12; ++i) history_.RandomCut(random, 20);
    options_.output = "/db";
    options_.parallelism = 2;
  }

  static std::vector<Destination> Both(Source a, Source b) { return {{"a", a}, {"b", b}}; }

  void PutAll(store::ObjectStore& store, std::uint64_t newest) {
    ReplicaWriter writer(store, layout_, history_);
    ASSERT_OK(writer.Put(9, 1, 4));
    ASSERT_OK(writer.Put(1, 5, 8));
    for (std::uint64_t txid = 5; txid <= newest; ++txid) ASSERT_OK(writer.Put(0, txid, txid));
  }

  store::ObjectKey Key(int level, std::uint64_t min, std::uint64_t max) {
    return layout_.LtxKey(Level{static_cast<std::uint8_t>(level)}, {Txid{min}, Txid{max}});
  }

  // In all pages, of which some are superseded and would not be missed.
  void Damage(store::ObjectStore& store, const store::ObjectKey& key) {
    ASSERT_OK_AND_ASSIGN(Bytes body, store::ReadObject(store, key, 1 << 20));
    for (std::size_t i = ltx::kHeaderSize; i < body.size(); i += 16) body[i] ^= std::byte{0x40};
    ASSERT_OK(store::PutObject(store, key, body, {}));
  }

  void Delete(store::ObjectStore& store, const store::ObjectKey& key) {
    ASSERT_OK(store.Delete(std::vector{key}));
  }

  Result<Report> Restore(const Target& target = Target::Latest()) {
    return Restorer(files_, clock_, log_)
        .Restore(Both({&a_, &layout_}, {&b_, &layout_}), target, options_);
  }

  void ExpectRestored(const Result<Report>& report, std::uint64_t txid, const char* from) {
    ASSERT_OK(report);
    EXPECT_EQ(report->outcome.txid, Txid{txid});
    EXPECT_EQ(report->destination, from);
    ASSERT_OK_AND_ASSIGN(const Bytes restored, fs::ReadFile(files_, "/db", 1 << 30));
    EXPECT_EQ(restored, history_.ImageAt(Txid{txid}));
  }

  void ExpectNothingLeft() {
    ASSERT_OK_AND_ASSIGN(const auto entries, files_.List("/"));
    EXPECT_TRUE(entries.empty());
  }

  runnel::testing::ManualClock clock_;
  runnel::testing::MemoryFileSystem files_{clock_};
  runnel::testing::CapturingLogger log_;
  store::MemoryStore a_{clock_};
  store::MemoryStore b_{clock_};
  store::ReplicaLayout layout_{store::LayoutKind::kTree, "app"};
  History history_{512};
  ExecuteOptions options_;
};

TEST_F(RestorerTest, LatestComesFromTheDestinationThatReachesFurthest) {
  PutAll(a_, 9);
  PutAll(b_, 12);
  const auto report = Restore();
  ExpectRestored(report, 12, "b");
  EXPECT_TRUE(report->failures.empty());
}

TEST_F(RestorerTest, AGivenTxidComesFromTheFirstThatHasIt) {
  PutAll(a_, 9);
  PutAll(b_, 12);
  ExpectRestored(Restore(Target::AtTxid(Txid{9})), 9, "a");
}

TEST_F(RestorerTest, AGivenTimeComesFromTheDestinationThatReachesFurthest) {
  PutAll(a_, 9);
  PutAll(b_, 12);
  ExpectRestored(Restore(Target::Before(History::TimeOf(Txid{11}))), 10, "b");
}

TEST_F(RestorerTest, ADamagedFileIsGoneAroundWithOthersOfTheSameTxids) {
  PutAll(a_, 12);
  Damage(a_, Key(1, 5, 8));
  const auto report = Restore();
  ExpectRestored(report, 12, "a");
  ASSERT_EQ(report->failures.size(), 2U);
  EXPECT_EQ(report->failures[0].destination, "b");  // which is empty
  EXPECT_EQ(report->failures[1].error.code(), Errc::kCorruption);
  EXPECT_NE(report->failures[1].error.message().find(Key(1, 5, 8).text()), std::string::npos);
  EXPECT_TRUE(log_.Contains(Key(1, 5, 8).text(), LogLevel::kWarn));
}

TEST_F(RestorerTest, ADamagedDestinationIsReplacedByAHealthyOne) {
  PutAll(a_, 12);
  PutAll(b_, 10);
  Damage(a_, Key(9, 1, 4));
  const auto report = Restore();
  ExpectRestored(report, 10, "b");
  EXPECT_EQ(report->newest, Txid{12});
  ASSERT_EQ(report->failures.size(), 1U);
  EXPECT_EQ(report->failures[0].destination, "a");
}

TEST_F(RestorerTest, ADestinationWithAHoleIsReplacedByAWholeOne) {
  PutAll(a_, 12);
  Delete(a_, Key(0, 10, 10));
  PutAll(b_, 11);
  const auto report = Restore();
  ExpectRestored(report, 11, "b");
  ASSERT_EQ(report->failures.size(), 1U);
  EXPECT_NE(report->failures[0].error.message().find("000000000000000a is missing"),
            std::string::npos);
}

TEST_F(RestorerTest, AllFailuresAreTold) {
  PutAll(a_, 12);
  PutAll(b_, 12);
  Damage(a_, Key(9, 1, 4));
  Damage(b_, Key(0, 12, 12));
  const auto report = Restore();
  ASSERT_FAILS(Errc::kCorruption, report);
  EXPECT_NE(report.error().message().find("a: "), std::string::npos) << report.error().message();
  EXPECT_NE(report.error().message().find("b: "), std::string::npos) << report.error().message();
  ExpectNothingLeft();
}

TEST_F(RestorerTest, NotFoundIsSaidOnlyIfNobodyHasAnything) {
  EXPECT_FAILS(Errc::kNotFound, Restore());
  PutAll(b_, 12);
  Delete(b_, Key(0, 10, 10));
  EXPECT_FAILS(Errc::kCorruption, Restore());
  EXPECT_FAILS(Errc::kNotFound, Restore(Target::AtTxid(Txid{6000})));
  ExpectNothingLeft();
}

TEST_F(RestorerTest, TheOutputsFaultEndsItAtOnce) {
  PutAll(a_, 12);
  PutAll(b_, 12);
  files_.SetCapacity(100);
  EXPECT_FAILS(Errc::kNoSpace, Restore());
  EXPECT_TRUE(log_.lines().empty());
  files_.SetCapacity(1 << 30);
  ASSERT_OK(Restore());
  EXPECT_FAILS(Errc::kAlreadyExists, Restore());
}

TEST_F(RestorerTest, ALaxPolicyIsUsedOnlyWhereTheStrictOneFailsEverywhere) {
  PutAll(a_, 12);
  ltx::Header broken = history_.HeaderOf({Txid{11}, Txid{11}}, testing::Tag::kChain);
  broken.chain->before = DatabaseChecksum{ToInt(broken.chain->before) + 1};
  ASSERT_OK(ReplicaWriter(a_, layout_, history_).PutWithHeader(0, broken));
  EXPECT_FAILS(Errc::kCorruption, Restore());
  options_.chain_policy = ChainPolicy::kUpToBreak;
  ExpectRestored(Restore(), 10, "a");
  ASSERT_OK(files_.Remove("/db"));
  PutAll(b_, 12);
  ExpectRestored(Restore(), 12, "b");
}

// Once it was listed, does what compaction and retention may do at that moment.
class CompactingStore final : public store::ObjectStore {
 public:
  CompactingStore(store::ObjectStore& store, std::function<void()> compact)
      : store_(store), compact_(std::move(compact)) {}

  std::string_view kind() const override { return store_.kind(); }
  std::string location() const override { return store_.location(); }
  store::Capabilities capabilities() const override { return store_.capabilities(); }
  Result<std::unique_ptr<store::ObjectWriter>> StartPut(const store::ObjectKey& key,
                                                        const store::PutOptions& put) override {
    return store_.StartPut(key, put);
  }
  Result<std::size_t> ReadAt(const store::ObjectKey& key, std::uint64_t offset,
                             MutableBytes out) override {
    std::call_once(compacted_, compact_);
    return store_.ReadAt(key, offset, out);
  }
  Result<store::ObjectInfo> Head(const store::ObjectKey& key) override { return store_.Head(key); }
  Result<store::ListPage> List(const std::string& prefix,
                               const std::optional<store::ObjectKey>& start_after,
                               std::size_t limit) override {
    return store_.List(prefix, start_after, limit);
  }
  Result<void> Delete(std::span<const store::ObjectKey> keys) override {
    return store_.Delete(keys);
  }

 private:
  store::ObjectStore& store_;
  const std::function<void()> compact_;
  std::once_flag compacted_;
};

TEST_F(RestorerTest, AFileThatRetentionTookIsFoundInWhatReplacesIt) {
  PutAll(a_, 12);
  CompactingStore compacting(a_, [&] {
    ASSERT_OK(ReplicaWriter(a_, layout_, history_).Put(1, 9, 12));
    for (std::uint64_t txid = 9; txid < 12; ++txid) Delete(a_, Key(0, txid, txid));
  });
  const std::vector<Destination> destinations = {{"a", {&compacting, &layout_}}};
  const auto report =
      Restorer(files_, clock_, log_).Restore(destinations, Target::Latest(), options_);
  ExpectRestored(report, 12, "a");
  ASSERT_EQ(report->failures.size(), 1U);
  EXPECT_EQ(report->failures[0].error.code(), Errc::kUnavailable);
}

TEST_F(RestorerTest, ADryRunChangesNothing) {
  PutAll(a_, 12);
  const std::vector<Destination> destinations = {{"a", {&a_, &layout_}}, {"b", {&b_, &layout_}}};
  ASSERT_OK_AND_ASSIGN(
      const Selection selection,
      Restorer(files_, clock_, log_).Select(destinations, Target::Latest(), 2, {}));
  ASSERT_EQ(selection.candidates.size(), 1U);
  EXPECT_EQ(selection.candidates[0].plan.txid(), Txid{12});
  ASSERT_EQ(selection.failures.size(), 1U);
  EXPECT_EQ(selection.failures[0].error.code(), Errc::kNotFound);
  ExpectNothingLeft();
}

}  // namespace
}  // namespace runnel::restore
