// The s3 store, held to the promises of store/object_store.h against a fake that is stricter than
// real stores.

#include "store/s3/testing.h"
#include "testing/store_conformance.h"

namespace runnel::testing {
namespace {

using store::s3::FakeWorld;

class FakeSubject : public StoreSubject {
 public:
  explicit FakeSubject(FakeS3Options options = {}) : world_(std::move(options)) {
    store_ = world_.MakeStore();
  }
  store::ObjectStore& store() override { return *store_; }

 protected:
  FakeWorld world_;
  std::unique_ptr<store::s3::S3Store> store_;
};

// Five keys a page, etags only without quotes, no deletion of many.
class OddSubject final : public FakeSubject {
 public:
  OddSubject()
      : FakeSubject({.deletion = FakeS3Options::Deletion::kOneByOne,
                     .if_match_quotes = FakeS3Options::EtagQuotes::kNone,
                     .list_page_max = 5}) {}
};

class PlainSubject final : public FakeSubject {
 public:
  PlainSubject() : FakeSubject({.conditions = FakeS3Options::Conditions::kNotImplemented}) {
    // It finds out by trying.
    EXPECT_FAILS(
        Errc::kUnsupported,
        store_->StartPut(store::ObjectKey("k"), {.condition = store::PutCondition::IfAbsent()}));
  }
};

// Every third request or so fails one way or another, and still each operation is done once.
class BadDaySubject final : public FakeSubject {
 public:
  BadDaySubject() {
    using Kind = S3Fault::Kind;
    const S3Fault faults[] = {{.kind = Kind::kRefuse},
                              {.kind = Kind::kRefuse, .status = 500, .code = "InternalError"},
                              {.kind = Kind::kDrop},
                              {.kind = Kind::kLoseReply},
                              {.kind = Kind::kCutBody}};
    int n = 0;
    for (int i = 0; i < 2000; ++i) {
      n += 3 + static_cast<int>(world_.random.Below(4));
      world_.server.FailAt("", n, faults[world_.random.Below(5)]);
    }
  }
  store::ObjectStore& store() override { return retrying_; }

 private:
  store::RetryingStore retrying_{
      *store_,
      {.attempts_max = 50, .budget = std::chrono::hours(1), .replay_max_bytes = 100 << 20},
      world_.clock,
      world_.random};
};

template <class Subject>
StoreCase Case(const char* name) {
  return {.name = name, .make = [] { return std::make_unique<Subject>(); }};
}

INSTANTIATE_TEST_SUITE_P(S3, ObjectStoreConformanceTest,
                         ::testing::Values(Case<FakeSubject>("Fake"), Case<OddSubject>("OddFake"),
                                           Case<PlainSubject>("WithoutConditions"),
                                           Case<BadDaySubject>("RetryingOnABadDay")),
                         StoreCaseName);

}  // namespace
}  // namespace runnel::testing
