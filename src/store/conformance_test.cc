// Every store of this folder, held to the promises of store/object_store.h.

#include "fs/posix_file_system.h"
#include "store/file_store.h"
#include "store/memory_store.h"
#include "store/retrying_store.h"
#include "testing/fault_store.h"
#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/store_conformance.h"
#include "testing/temp_dir.h"

namespace runnel::testing {
namespace {

// What every subject needs.
struct World {
  ManualClock clock;
  SeededRandom random{42};
};

class MemorySubject final : public StoreSubject {
 public:
  store::ObjectStore& store() override { return store_; }

 private:
  World world_;
  store::MemoryStore store_{world_.clock};
};

class PosixFileSubject final : public StoreSubject {
 public:
  store::ObjectStore& store() override { return store_; }

 private:
  World world_;
  TempDir dir_;
  fs::PosixFileSystem files_;
  store::FileStore store_{files_, dir_.path() / "to be/made", {}, world_.clock, world_.random};
};

class MemoryFileSubject final : public StoreSubject {
 public:
  MemoryFileSubject() { Start(); }
  store::ObjectStore& store() override { return *store_; }
  void PowerLoss(Random& random) override {
    files_.PowerLoss(random);
    Start();
  }

 private:
  void Start() {
    // Writers of the dead process still point to the store that they came from.
    if (store_) dead_.push_back(std::move(store_));
    store_ = std::make_unique<store::FileStore>(files_, "/replicas/here", store::FileStoreOptions{},
                                                world_.clock, world_.random);
  }

  World world_;
  MemoryFileSystem files_{world_.clock};
  std::vector<std::unique_ptr<store::FileStore>> dead_;
  std::unique_ptr<store::FileStore> store_;
};

class FaultSubject final : public StoreSubject {
 public:
  store::ObjectStore& store() override { return store_; }

 private:
  World world_;
  store::MemoryStore memory_{world_.clock};
  FaultStore store_{memory_, world_.clock};
};

class RetryingSubject final : public StoreSubject {
 public:
  store::ObjectStore& store() override { return store_; }

 private:
  World world_;
  store::MemoryStore memory_{world_.clock};
  store::RetryingStore store_{memory_, {}, world_.clock, world_.random};
};

// A network on a bad day: every third call or so is lost one way or another, and still each
// operation is done exactly once.
class BadDaySubject final : public StoreSubject {
 public:
  BadDaySubject() {
    for (std::uint64_t n = 3; n < 20'000; n += 4 + world_.random.Below(4)) {
      using Kind = StoreFault::Kind;
      constexpr Kind kKinds[] = {Kind::kFail, Kind::kLoseReply, Kind::kTear, Kind::kDelay};
      faulty_.At(n, {.kind = kKinds[world_.random.Below(4)],
                     .code = Errc::kTimedOut,
                     .delay = std::chrono::milliseconds(5)});
    }
  }
  store::ObjectStore& store() override { return store_; }

 private:
  World world_;
  store::MemoryStore memory_{world_.clock};
  FaultStore faulty_{memory_, world_.clock};
  store::RetryingStore store_{
      faulty_,
      {.attempts_max = 50, .budget = std::chrono::hours(1), .replay_max_bytes = 100 << 20},
      world_.clock,
      world_.random};
};

template <class Subject>
StoreCase Case(const char* name) {
  return {.name = name, .make = [] { return std::make_unique<Subject>(); }};
}

INSTANTIATE_TEST_SUITE_P(
    Stores, ObjectStoreConformanceTest,
    ::testing::Values(Case<MemorySubject>("Memory"), Case<PosixFileSubject>("FileOnPosix"),
                      Case<MemoryFileSubject>("FileOnMemory"), Case<FaultSubject>("WithoutFaults"),
                      Case<RetryingSubject>("Retrying"), Case<BadDaySubject>("RetryingOnABadDay")),
    StoreCaseName);

INSTANTIATE_TEST_SUITE_P(Stores, ObjectStorePowerLossTest,
                         ::testing::Values(Case<MemoryFileSubject>("FileOnMemory")), StoreCaseName);

}  // namespace
}  // namespace runnel::testing
