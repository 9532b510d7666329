#include "replicate/verify.h"

#include <gmock/gmock.h>

#include "replicate/object_proof.h"
#include "testing/replica_world.h"

namespace runnel::replicate {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Machine;

class VerifyReplicaTest : public testing::ReplicateTest {
 protected:
  // Levels 0 to 2, a snapshot, and some cuts behind it.
  VerifyReplicaTest() {
    auto target = machine.Target(memory);
    target.settings.level_intervals = {30s, 2min};
    target.settings.snapshot_interval = 10min;
    machine.Start({target});
    machine.Run();
    for (int i = 0; i < 40; ++i) {
      machine.database.Commit();
      machine.Advance(20s);
    }
    machine.database.Commit();
    machine.Advance(2s);
    machine.database.Commit();
    machine.Advance(2s);
    machine.Stop();
  }

  VerifyResult Verify(store::ObjectStore& store) {
    auto result = VerifyReplica(store, layout, {.parallelism = 1, .progress = {}}, {});
    EXPECT_OK(result);
    return result ? *std::move(result) : VerifyResult{};
  }
  VerifyResult Verify() { return Verify(memory); }

  LeveledFile AnyFile(Level level) {
    const auto manifest = Manifest::List(memory, layout);
    return {level, manifest.value().files(level).back()};
  }
  store::ObjectKey KeyOf(const LeveledFile& file) {
    return layout.LtxKey(file.level, file.file.range);
  }
  Bytes Read(const LeveledFile& file) {
    return store::ReadObject(memory, KeyOf(file), 1 << 20).value();
  }
  void Replace(const LeveledFile& file, ByteView body) {
    ASSERT_OK(store::PutObject(memory, KeyOf(file), body, {}));
  }
  // The same pages under another header.
  Bytes Reencode(const LeveledFile& file, const std::function<void(ltx::Header&)>& change) {
    auto decoded = ltx::testing::Decode(Read(file)).value();
    change(decoded.header);
    return ltx::testing::Encode(decoded.header, decoded.pages).value();
  }

  Machine machine{clock, fs, random, "host"};
};

TEST_F(VerifyReplicaTest, AWholeReplicaHasNoFinding) {
  const VerifyResult result = Verify();
  EXPECT_THAT(result.findings, IsEmpty()) << result.findings[0].problem;
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result.newest, Txid{42});
  EXPECT_EQ(result.restorable, Txid{42});
  EXPECT_EQ(result.files_without_chain, 0U);
  EXPECT_GT(result.levels[1].file_count, 0U);
  EXPECT_GT(result.levels[2].file_count, 0U);
  EXPECT_EQ(result.levels[9].file_count, 1U);
}

TEST_F(VerifyReplicaTest, EveryFlippedByteIsFound) {
  for (const Level level : {Level{0}, Level{1}, Level{9}}) {
    const LeveledFile file = AnyFile(level);
    const Bytes good = Read(file);
    for (std::size_t i = 0; i < good.size(); i += 41) {
      Bytes bad = good;
      bad[i] ^= std::byte{0x10};
      Replace(file, bad);
      const auto proven = ProveObject(memory, layout, file, nullptr);
      EXPECT_FAILS(Errc::kCorruption, proven) << "level " << ToInt(level) << " byte " << i;
    }
    Replace(file, good);
  }
}

TEST_F(VerifyReplicaTest, NamesTheDamagedObject) {
  const LeveledFile file = AnyFile(Level{1});
  Bytes bad = Read(file);
  bad[bad.size() / 2] ^= std::byte{1};
  Replace(file, bad);
  const VerifyResult result = Verify();
  ASSERT_EQ(result.findings.size(), 1U);
  EXPECT_EQ(result.findings[0].kind, FindingKind::kDamaged);
  EXPECT_EQ(result.findings[0].object, KeyOf(file).text());
  EXPECT_FALSE(result.findings[0].cure.empty());
  EXPECT_FALSE(result.ok());
}

TEST_F(VerifyReplicaTest, FindsTruncatedAndLongerObjects) {
  const LeveledFile file = AnyFile(Level{0});
  Bytes body = Read(file);
  body.pop_back();
  Replace(file, body);
  EXPECT_EQ(Verify().findings.at(0).kind, FindingKind::kDamaged);
  body.resize(body.size() + 2);
  Replace(file, body);
  EXPECT_EQ(Verify().findings.at(0).kind, FindingKind::kDamaged);
}

TEST_F(VerifyReplicaTest, FindsAWholeFileUnderAnotherName) {
  const LeveledFile file = AnyFile(Level{0});
  Replace(file, Reencode(file, [](ltx::Header& header) {
            header.min_txid = header.max_txid = Txid{ToInt(header.min_txid) - 1};
          }));
  EXPECT_THAT(Verify().findings.at(0).problem, HasSubstr("header names"));
}

TEST_F(VerifyReplicaTest, FindsABrokenChain) {
  const LeveledFile file = AnyFile(Level{0});
  Replace(file, Reencode(file, [](ltx::Header& header) {
            header.chain->before = DatabaseChecksum{ToInt(header.chain->before) ^ 1};
          }));
  const VerifyResult result = Verify();
  ASSERT_EQ(result.findings.size(), 1U);
  EXPECT_EQ(result.findings[0].kind, FindingKind::kChainBroken);
  EXPECT_EQ(result.findings[0].object, KeyOf(file).text());
}

TEST_F(VerifyReplicaTest, AFullCopyMustHoldEveryPage) {
  const LeveledFile file = AnyFile(Level{0});
  auto decoded = ltx::testing::Decode(Read(file)).value();
  decoded.header.chain->before = DatabaseChecksum{0};
  ltx::testing::RawFile raw(decoded.header);
  for (const auto& [page_no, page] : decoded.pages) raw.Block(ToInt(page_no), page);
  Replace(file, raw.Finish());
  EXPECT_FALSE(Verify().ok());
  EXPECT_EQ(Verify().findings.at(0).object, KeyOf(file).text());
}

TEST_F(VerifyReplicaTest, FindsTxidsThatNobodyHas) {
  const LeveledFile newest = AnyFile(Level{0});
  const Txid lost{ToInt(newest.file.range.min) - 1};
  const store::ObjectKey key = layout.LtxKey(kLevelCut, {.min = lost, .max = lost});
  ASSERT_OK(memory.Delete(std::span(&key, 1)));
  const VerifyResult result = Verify();
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.findings[0].kind, FindingKind::kMissing);
  EXPECT_EQ(result.findings[0].object, KeyOf(newest).text());
  EXPECT_EQ(result.restorable, Txid{ToInt(lost) - 1});
}

TEST_F(VerifyReplicaTest, AGapBehindASnapshotIsANote) {
  const auto files = Manifest::List(memory, layout).value().files(Level{1});
  const store::ObjectKey key = layout.LtxKey(Level{1}, files.at(1).range);
  ASSERT_OK(memory.Delete(std::span(&key, 1)));
  const VerifyResult result = Verify();
  EXPECT_TRUE(result.ok());
  ASSERT_FALSE(result.findings.empty());
  EXPECT_EQ(result.findings[0].kind, FindingKind::kGap);
}

TEST_F(VerifyReplicaTest, TellsProgressAndStops) {
  std::vector<std::uint64_t> done;
  std::stop_source stop;
  const auto result = VerifyReplica(memory, layout,
                                    {.parallelism = 1,
                                     .progress =
                                         [&](const VerifyProgress& progress) {
                                           done.push_back(progress.files_done);
                                           if (done.size() == 3) stop.request_stop();
                                         }},
                                    stop.get_token());
  EXPECT_FAILS(Errc::kCancelled, result);
  EXPECT_THAT(done, ElementsAre(1, 2, 3));
}

TEST_F(VerifyReplicaTest, AnEmptyReplicaIsNotAWholeOne) {
  store::MemoryStore empty(clock);
  EXPECT_FAILS(Errc::kNotFound, VerifyReplica(empty, layout, {}, {}));
}

TEST_F(VerifyReplicaTest, AnObjectThatTheStoreRefusesIsReportedAndTheRestChecked) {
  const auto manifest = Manifest::List(memory, layout).value();
  store.CountOnly(runnel::testing::StoreCall::kReadAt);
  store.At(1, {.kind = testing::StoreFault::Kind::kFail});
  const VerifyResult result = Verify(store);
  ASSERT_EQ(result.findings.size(), 1U);
  EXPECT_EQ(result.findings[0].kind, FindingKind::kUnreadable);
  EXPECT_EQ(result.files_checked, manifest.file_count() - 1);
}

}  // namespace
}  // namespace runnel::replicate
