// Whatever call to a store fails, and however: what is durable can be restored, after every single
// change of the store, and in the end everything is as if nothing had happened.

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>

#include "replicate/replica_set.h"
#include "testing/replica_world.h"

namespace runnel::replicate {
namespace {

using namespace std::chrono_literals;
using testing::FaultStore;
using testing::Machine;
using testing::ManualClock;
using testing::MemoryFileSystem;
using testing::RestoreFrom;
using testing::SeededRandom;
using testing::StoreFault;

// Tells after each change of the store.
class WatchedStore final : public store::ObjectStore {
 public:
  explicit WatchedStore(store::ObjectStore& store) : store_(store) {}

  std::string_view kind() const override { return store_.kind(); }
  std::string location() const override { return store_.location(); }
  store::Capabilities capabilities() const override { return store_.capabilities(); }
  Result<std::unique_ptr<store::ObjectWriter>> StartPut(const store::ObjectKey& key,
                                                        const store::PutOptions& options) override {
    RUNNEL_TRY(auto writer, store_.StartPut(key, options));
    return std::make_unique<Writer>(*this, std::move(writer));
  }
  Result<std::size_t> ReadAt(const store::ObjectKey& key, std::uint64_t offset,
                             MutableBytes out) override {
    return store_.ReadAt(key, offset, out);
  }
  Result<store::ObjectInfo> Head(const store::ObjectKey& key) override { return store_.Head(key); }
  Result<store::ListPage> List(const std::string& prefix,
                               const std::optional<store::ObjectKey>& start_after,
                               std::size_t limit) override {
    return store_.List(prefix, start_after, limit);
  }
  Result<void> Delete(std::span<const store::ObjectKey> keys) override {
    auto done = store_.Delete(keys);
    Changed();
    return done;
  }

  std::function<void()> on_change;

 private:
  class Writer final : public store::ObjectWriter {
   public:
    Writer(WatchedStore& owner, std::unique_ptr<store::ObjectWriter> writer)
        : owner_(owner), writer_(std::move(writer)) {}
    Result<void> Append(ByteView bytes) override { return writer_->Append(bytes); }
    Result<store::ObjectInfo> Commit() override {
      auto done = writer_->Commit();
      owner_.Changed();
      return done;
    }

   private:
    WatchedStore& owner_;
    std::unique_ptr<store::ObjectWriter> writer_;
  };

  void Changed() {
    if (on_change) on_change();
  }

  store::ObjectStore& store_;
};

// One machine, one store, and everything that can be said about the two at any moment.
class Scenario {
 public:
  explicit Scenario(std::uint64_t seed) : random(seed), machine(clock, fs, random, "host", seed) {
    watched.on_change = [this] { Check(); };
  }

  DestinationTarget Target() {
    DestinationTarget target = machine.Target(store);
    target.settings.level_intervals = {30s, 2min};
    target.settings.snapshot_interval = 3min;
    target.settings.snapshot_retention = 4min;
    target.settings.l0_retention = 1min;
    target.settings.proof = ProofMode::kOn;
    return target;
  }

  void Restart() {
    machine.Stop();
    machine.Start({Target()});
  }

  // Everything that was reported durable can be restored, and is what it was.
  void Check() {
    if (machine.set) durable = std::max(durable, machine.set->durable_txid());
    const auto restored = RestoreFrom(memory, layout);
    if (!restored && restored.error().code() == Errc::kNotFound && durable == Txid{0}) return;
    ASSERT_OK(restored);
    ASSERT_GE(restored->txid, durable);
    const auto state = machine.database.states().find(restored->txid);
    ASSERT_NE(state, machine.database.states().end());
    ASSERT_TRUE(restored->pages == state->second) << FormatTxid(restored->txid);
  }

  void ExpectSettled() {
    store.Heal();
    machine.Advance(1h);
    Check();
    EXPECT_EQ(durable, machine.database.newest());
    const DestinationStatus status = machine.set->status()[0];
    EXPECT_EQ(status.state, DestinationState::kReplicating);
    // What the manifest says is what is there.
    const auto listed = Manifest::List(memory, layout);
    ASSERT_OK(listed);
    EXPECT_EQ(listed->file_count(), status.file_count);
    EXPECT_EQ(listed->total_bytes(), status.total_bytes);
    EXPECT_EQ(machine.database.staging().files().size(), 1U);
  }

  ManualClock clock;
  SeededRandom random;
  MemoryFileSystem fs{clock};
  store::MemoryStore memory{clock};
  WatchedStore watched{memory};
  FaultStore store{watched, clock};
  const store::ReplicaLayout layout{store::LayoutKind::kTree, "db"};
  Machine machine;
  Txid durable{};
};

// Twenty cuts, with everything that a replica goes through. Returns how many calls were made.
std::uint64_t RunTwentyCuts(Scenario& scenario) {
  scenario.machine.Start({scenario.Target()});
  scenario.machine.Run();
  for (int i = 0; i < 20; ++i) {
    scenario.machine.database.Commit();
    scenario.machine.Advance(i % 3 == 0 ? 45s : 9s);
    if (i == 12) scenario.Restart();
  }
  scenario.machine.Advance(4min);
  return scenario.store.call_count();
}

class ReplicateFaultTest : public ::testing::TestWithParam<StoreFault::Kind> {};

TEST_P(ReplicateFaultTest, EveryCallMayFailOnce) {
  constexpr std::uint64_t kSeed = 1;
  std::uint64_t calls = 1;
  for (std::uint64_t n = 1; n <= calls; ++n) {
    Scenario scenario(kSeed);
    if (n > 1) scenario.store.At(n - 1, {.kind = GetParam()});
    SCOPED_TRACE(::testing::Message() << "call " << n - 1);
    const std::uint64_t made = RunTwentyCuts(scenario);
    if (n == 1) calls = made;
    scenario.ExpectSettled();
    if (::testing::Test::HasFailure()) {
      ADD_FAILURE() << scenario.store.RecentCalls();
      return;
    }
  }
  EXPECT_GT(calls, 100U);
}

TEST(ReplicateOutageTest, MayBeginAtAnyCallAndOutlastARestart) {
  std::uint64_t calls = 1;
  for (std::uint64_t n = 1; n <= calls; n += 3) {
    Scenario scenario(2);
    if (n > 1) scenario.store.FailFrom(n - 1);
    SCOPED_TRACE(::testing::Message() << "from call " << n - 1);
    const std::uint64_t made = RunTwentyCuts(scenario);
    if (n == 1) calls = made;
    scenario.Restart();
    scenario.store.Heal();
    scenario.machine.Advance(70s);
    scenario.machine.database.Commit();  // if nothing could be cut before
    scenario.ExpectSettled();
    if (::testing::Test::HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, ReplicateFaultTest,
                         ::testing::Values(StoreFault::Kind::kFail, StoreFault::Kind::kLoseReply,
                                           StoreFault::Kind::kTear, StoreFault::Kind::kDuplicate),
                         [](const auto& info) -> std::string {
                           switch (info.param) {
                             case StoreFault::Kind::kFail: return "Fail";
                             case StoreFault::Kind::kLoseReply: return "LoseReply";
                             case StoreFault::Kind::kTear: return "Tear";
                             case StoreFault::Kind::kDuplicate: return "Duplicate";
                             case StoreFault::Kind::kDelay: return "Delay";
                           }
                           return "";
                         });

// A history of its own for each seed: commits, pauses, faults, restarts, lost continuity, and jobs
// in an order drawn from the seed.
TEST(ReplicateHistoryTest, WhatIsDurableIsRestorableAfterEveryChange) {
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Scenario scenario(seed);
    SeededRandom dice(seed * 1000);
    scenario.machine.Start({scenario.Target()});
    for (int step = 0; step < 120; ++step) {
      const std::uint64_t roll = dice.Below(20);
      if (roll < 9) scenario.machine.database.Commit();
      if (roll == 9) scenario.Restart();
      if (roll == 10) scenario.machine.database.LoseContinuity();
      if (roll == 11 || roll == 12) {
        scenario.store.At(1 + dice.Below(20),
                          {.kind = static_cast<StoreFault::Kind>(dice.Below(5)), .delay = 3s});
      }
      scenario.machine.Advance(std::chrono::seconds(dice.Below(25)));
      if (::testing::Test::HasFailure()) return;
    }
    scenario.machine.Advance(70s);
    scenario.machine.database.Commit();
    scenario.ExpectSettled();
    if (::testing::Test::HasFailure()) return;
  }
}

// Without faults, no state may vanish before its time: five minutes of every cut, and a day of one
// an hour.
TEST(ReplicateHistoryTest, RestorePointsStayAsLongAsTheSettingsSay) {
  Scenario scenario(7);
  std::map<Txid, WallTime> times;
  const auto check = [&] {
    const restore::Source source{.store = &scenario.memory, .layout = &scenario.layout};
    const auto inventory = restore::ListReplica(source, 1, {});
    ASSERT_OK(inventory);
    const std::vector<Txid> points = restore::RestorableTxids(*inventory);
    const WallTime now = scenario.clock.Now();
    const Txid durable = scenario.machine.set->durable_txid();
    WallTime last = now - 24h;
    for (const auto& [txid, time] : times) {
      if (txid > durable || time < now - 24h) continue;
      const bool there = std::ranges::binary_search(points, txid);
      EXPECT_TRUE(there || time < now - 5min) << FormatTxid(txid);
      if (there) last = time;
      EXPECT_LE(time - last, 2h) << "nothing to be restored near " << FormatTxid(txid);
    }
  };
  scenario.machine.Start({scenario.machine.Target(scenario.store)});
  scenario.machine.Run();
  for (int i = 0; i < 600; ++i) {
    const Txid txid = scenario.machine.database.Commit();
    times[txid] = scenario.clock.Now();
    scenario.machine.Advance(i % 10 == 0 ? 1h : 20s);
    if (i % 7 == 0) check();
    if (::testing::Test::HasFailure()) return;
  }
  scenario.ExpectSettled();
}

}  // namespace
}  // namespace runnel::replicate
