// A world for tests of replication: a model of a database that makes real cuts in a real
// staging, stores, a clock and a scheduler stepped by hand, and a restore to compare with.

#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "capture/staging.h"
#include "ltx/chain.h"
#include "ltx/testing.h"
#include "replicate/cut_source.h"
#include "replicate/replica_set.h"
#include "restore/inventory.h"
#include "restore/plan.h"
#include "store/memory_store.h"
#include "testing/capturing_logger.h"
#include "testing/fault_store.h"
#include "testing/manual_clock.h"
#include "testing/manual_scheduler.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"

namespace runnel::replicate::testing {

using runnel::testing::CapturingLogger;
using runnel::testing::FaultStore;
using runnel::testing::ManualClock;
using runnel::testing::ManualScheduler;
using runnel::testing::MemoryFileSystem;
using runnel::testing::SeededRandom;
using runnel::testing::StoreFault;

using Pages = std::map<PageNo, Bytes>;

inline constexpr std::uint32_t kPageSize = 512;

inline DatabaseChecksum SumOf(const Pages& pages) { return ltx::testing::SumOf(pages); }

// A database and its capture, without either. One thread.
class ModelDatabase final : public CutSource {
 public:
  ModelDatabase(MemoryFileSystem& fs, ManualClock& clock, SeededRandom& random, Logger& log,
                fs::Path folder)
      : clock_(clock), random_(random) {
    auto staging = capture::Staging::Open(fs, std::move(folder), {}, log);
    EXPECT_TRUE(runnel::testing::IsOk(staging));
    staging_ = std::move(staging).value();
    // The local history, if there is one, is the whole truth.
    if (const auto newest = staging_->newest()) newest_ = newest->txid;
  }

  // Goes on with the pages of a database that was there before.
  void SetPages(Pages pages) { pages_ = std::move(pages); }
  const Pages& pages() const { return pages_; }
  // The state that each cut left.
  const std::map<Txid, Pages>& states() const { return states_; }
  Txid newest() const { return newest_; }

  // Changes some pages, and cuts. Returns the txid, or 0 if nothing may be cut yet.
  Txid Commit() {
    Change();
    return Cut();
  }

  void Change() {
    const std::uint32_t growth = pages_.empty() ? 3 : static_cast<std::uint32_t>(random_.Below(3));
    const auto size = static_cast<std::uint32_t>(pages_.size());
    for (std::uint32_t i = 1; i <= growth; ++i) ChangePage(PageNo{size + i});
    for (int i = 0; i < 2; ++i) {
      ChangePage(PageNo{1 + static_cast<std::uint32_t>(random_.Below(pages_.size()))});
    }
    if (pages_.size() > 12 && random_.Below(4) == 0) Shrink(5);
  }

  Txid Cut() {
    if (!confirmed_ && newest_ == Txid{0}) return Txid{0};
    const bool full = full_copy_next_ || newest_ == Txid{0};
    if (changed_.empty() && !full) return newest_;
    const Txid txid = runnel::Next(newest_);
    if (full) captured_ = pages_;
    for (const PageNo page_no : changed_) captured_[page_no] = pages_[page_no];
    captured_.erase(captured_.upper_bound(pages_.rbegin()->first), captured_.end());
    const DatabaseChecksum after = SumOf(captured_);
    timestamp_ = std::max(clock_.Now(), timestamp_ + std::chrono::milliseconds(1));
    ltx::Header header{.page_size = kPageSize,
                       .commit_pages = static_cast<std::uint32_t>(pages_.size()),
                       .min_txid = txid,
                       .max_txid = txid,
                       .timestamp = timestamp_};
    if (tagged) {
      header.chain = ltx::Chain{.before = full ? DatabaseChecksum{0} : checksum_, .after = after};
    }
    const auto cut = staging_->Append(header, {}, [&](ltx::Encoder& encoder) -> Result<void> {
      for (const auto& [page_no, page] : pages_) {
        if (full || changed_.contains(page_no)) RUNNEL_TRY_VOID(encoder.WritePage(page_no, page));
      }
      return {};
    });
    EXPECT_TRUE(runnel::testing::IsOk(cut));
    checksum_ = after;
    changed_.clear();
    full_copy_next_ = false;
    newest_ = txid;
    states_[txid] = captured_;
    if (set != nullptr) set->OnCut();
    return txid;
  }

  // A page changes and capture does not see it: what no capture should do.
  void ChangeUnseen(PageNo page_no) { pages_[page_no] = random_.NextBytes(kPageSize); }

  // Continuity was lost: running scans are worth nothing.
  void LoseContinuity() { ++continuity_; }

  capture::Staging& staging() override { return *staging_; }

  Result<void> AdoptHistory(Txid replica_newest) override {
    confirmed_ = true;
    ++adoptions;
    if (replica_newest <= newest_) return {};
    RUNNEL_TRY_VOID(staging_->Clear());
    newest_ = replica_newest;
    full_copy_next_ = true;
    ++continuity_;
    if (cut_on_adoption && !pages_.empty()) Cut();
    return {};
  }

  Result<Txid> RequestCut() override { return Cut(); }

  void CompareAgain(capture::CompareExtent extent) override {
    ++comparisons;
    ++continuity_;
    if (extent == capture::CompareExtent::kEveryPage) full_copy_next_ = true;
    for (const auto& [page_no, page] : pages_) {
      const auto known = captured_.find(page_no);
      if (known == captured_.end() || known->second != page) changed_.insert(page_no);
    }
    Cut();
  }

  void ReleaseCuts(Txid last) override {
    released = last;
    EXPECT_TRUE(runnel::testing::IsOk(staging_->Prune(last)));
  }

  Result<std::unique_ptr<PageScan>> BeginScan() override {
    if (staging_->newest() == std::nullopt) return Fail(Errc::kBusy, "nothing is cut yet");
    Cut();
    ++scans;
    return std::make_unique<Scan>(*this);
  }

  bool IsCurrent(const PageScan& scan) const override {
    return scan.start().continuity == continuity_;
  }

  ReplicaSet* set = nullptr;
  bool tagged = true;            // cuts carry a chain
  bool cut_on_adoption = false;  // as capture does, once it has compared
  int adoptions = 0;
  int comparisons = 0;
  int scans = 0;
  Txid released{};
  std::uint64_t scan_pages_per_step = 2;

 private:
  // Reads the live pages, so that it sees what changes while it runs.
  class Scan final : public PageScan {
   public:
    explicit Scan(ModelDatabase& database)
        : database_(database),
          start_{.page_size = kPageSize,
                 .commit_pages = static_cast<std::uint32_t>(database.pages_.size()),
                 .base = database.newest_,
                 .continuity = database.continuity_},
          pin_(database.staging_->PinFrom(runnel::Next(start_.base))) {}

    const capture::ScanStart& start() const override { return start_; }

    Result<bool> Step(std::uint64_t, const capture::DatabaseScan::PageVisitor& visit) override {
      for (std::uint64_t i = 0; i < database_.scan_pages_per_step; ++i) {
        if (ToInt(next_) > start_.commit_pages) return false;
        const auto page = database_.pages_.find(next_);
        const Bytes zeros(kPageSize);
        RUNNEL_TRY_VOID(visit(next_, page == database_.pages_.end() ? zeros : page->second));
        next_ = runnel::Next(next_);
      }
      return ToInt(next_) <= start_.commit_pages;
    }

   private:
    ModelDatabase& database_;
    const capture::ScanStart start_;
    capture::Staging::Pin pin_;
    PageNo next_{1};
  };

  void ChangePage(PageNo page_no) {
    pages_[page_no] = random_.NextBytes(kPageSize);
    changed_.insert(page_no);
  }

  void Shrink(std::size_t size) {
    while (pages_.size() > size) {
      changed_.erase(pages_.rbegin()->first);
      pages_.erase(pages_.rbegin()->first);
    }
    ChangePage(PageNo{1});
  }

  ManualClock& clock_;
  SeededRandom& random_;
  std::unique_ptr<capture::Staging> staging_;
  Pages pages_;
  Pages captured_;  // what all cuts together have
  std::set<PageNo> changed_;
  std::map<Txid, Pages> states_;
  Txid newest_{};
  DatabaseChecksum checksum_{};
  WallTime timestamp_{};
  bool confirmed_ = false;
  bool full_copy_next_ = false;
  std::uint64_t continuity_ = 1;
};

// What a restore gives, by the plan of restore/ and a decoder: pages, and the txid reached.
struct Restored {
  Txid txid{};
  Pages pages;
};

inline Result<Restored> RestoreFrom(store::ObjectStore& store, const store::ReplicaLayout& layout,
                                    const restore::Target& target = restore::Target::Latest()) {
  const restore::Source source{.store = &store, .layout = &layout};
  RUNNEL_TRY(const auto inventory, restore::ListReplica(source, 1, std::stop_token()));
  RUNNEL_TRY(const auto plan, restore::MakePlan(inventory, target));
  Restored restored;
  restored.txid = plan.txid();
  for (const restore::LtxFile& file : plan.files) {
    RUNNEL_TRY(const Bytes body, store::ReadObject(store, source.KeyOf(file), 64U << 20));
    RUNNEL_TRY(const auto decoded, ltx::testing::Decode(body));
    if (decoded.header.min_txid != file.range.min || decoded.header.max_txid != file.range.max) {
      return Fail(Errc::kCorruption, "a header names other txids than its object");
    }
    for (const auto& [page_no, page] : decoded.pages) restored.pages[page_no] = page;
    restored.pages.erase(restored.pages.upper_bound(PageNo{decoded.header.commit_pages}),
                         restored.pages.end());
  }
  return restored;
}

// One machine with a database and its replicas. The store is somebody else's.
class Machine {
 public:
  Machine(ManualClock& clock, MemoryFileSystem& fs, SeededRandom& random, std::string host,
          std::optional<std::uint64_t> seed = {})
      : clock(clock),
        fs(fs),
        random(random),
        host_(std::move(host)),
        scheduler(clock, seed),
        database(fs, clock, random, log, "/" + host_ + "/ltx/0") {}

  ~Machine() { Stop(); }

  DestinationTarget Target(store::ObjectStore& store, std::string name = "one",
                           std::string root = "db") {
    DestinationTarget target{
        .settings = {},
        .store = &store,
        .layout = store::ReplicaLayout(store::LayoutKind::kTree, std::move(root))};
    target.settings.name = std::move(name);
    target.settings.proof = ProofMode::kOff;  // so that tests count what they are about
    return target;
  }

  void Start(std::vector<DestinationTarget> targets) {
    set = std::make_unique<ReplicaSet>(
        std::move(targets), database, ClaimIdentity{.host = host_, .boot_id = "b", .database = "d"},
        LocalFiles{.spool_folder = "/" + host_ + "/runnel",
                   .ownership = {},
                   .max_staging_bytes = max_staging_bytes},
        Environment{
            .fs = fs, .clock = clock, .random = random, .log = log, .scheduler = scheduler});
    database.set = set.get();
    set->Start();
  }

  void Stop() {
    if (set) set->Stop();
    database.set = nullptr;
    set.reset();
  }

  void Run() { scheduler.RunReady(); }
  void Advance(std::chrono::nanoseconds duration) { scheduler.Advance(duration); }

  ManualClock& clock;
  MemoryFileSystem& fs;
  SeededRandom& random;

 private:
  const std::string host_;

 public:
  std::uint64_t max_staging_bytes = std::uint64_t{1} << 30;
  CapturingLogger log;
  ManualScheduler scheduler;
  ModelDatabase database;
  std::unique_ptr<ReplicaSet> set;
};

// A store in memory behind one that can be made to fail, and one machine.
class ReplicateTest : public ::testing::Test {
 protected:
  // What the replica holds must be the state of the database at `txid`.
  void ExpectRestores(const ModelDatabase& database, Txid txid) {
    const auto restored = RestoreFrom(memory, layout);
    ASSERT_TRUE(runnel::testing::IsOk(restored));
    ASSERT_EQ(restored->txid, txid);
    ASSERT_TRUE(database.states().contains(txid));
    EXPECT_TRUE(restored->pages == database.states().at(txid));
  }

  std::vector<std::string> Names(const std::string& prefix = "db/") {
    std::vector<std::string> names;
    const auto objects = store::ListAll(memory, prefix);
    EXPECT_TRUE(runnel::testing::IsOk(objects));
    for (const auto& object : *objects) names.push_back(object.key.text());
    return names;
  }

  ManualClock clock;
  SeededRandom random{42};
  MemoryFileSystem fs{clock};
  store::MemoryStore memory{clock};
  FaultStore store{memory, clock};
  const store::ReplicaLayout layout{store::LayoutKind::kTree, "db"};
};

}  // namespace runnel::replicate::testing
