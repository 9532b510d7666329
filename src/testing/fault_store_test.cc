#include "testing/fault_store.h"

#include <gtest/gtest.h>

#include "store/memory_store.h"
#include "testing/manual_clock.h"
#include "testing/result_matchers.h"

namespace runnel::testing {
namespace {

using store::ObjectKey;
using store::PutCondition;
using Kind = StoreFault::Kind;

class FaultStoreTest : public ::testing::Test {
 protected:
  Result<store::ObjectInfo> Put(const std::string& body,
                                PutCondition condition = PutCondition::None()) {
    return store::PutObject(store_, key_, AsBytes(body),
                            {.condition = std::move(condition), .timestamp = std::nullopt});
  }
  std::string Content() {
    auto body = store::ReadObject(memory_, key_, 1000);
    return body ? std::string(AsText(*body)) : "absent";
  }

  const ObjectKey key_{"k"};
  ManualClock clock_;
  store::MemoryStore memory_{clock_};
  FaultStore store_{memory_, clock_};
};

TEST_F(FaultStoreTest, FailsTheCallMeantAndNoOther) {
  for (std::uint64_t n = 1; n <= 3; ++n) {  // StartPut, Append, Commit
    store_.At(n, {.code = Errc::kIo});
    EXPECT_FAILS(Errc::kIo, Put("x")) << n;
    EXPECT_EQ(Content(), "absent") << n;
    store_.Heal();
  }
  store_.At(4, {});
  EXPECT_OK(Put("x"));
  EXPECT_FAILS(Errc::kUnavailable, store_.Head(key_));
  EXPECT_OK(store_.Head(key_));
}

TEST_F(FaultStoreTest, ALostReplyMeansItWasDone) {
  store_.CountOnly(StoreCall::kCommit);
  store_.At(1, {.kind = Kind::kLoseReply, .code = Errc::kTimedOut});
  EXPECT_FAILS(Errc::kTimedOut, Put("x"));
  EXPECT_EQ(Content(), "x");
  store_.CountOnly(StoreCall::kDelete);
  store_.Heal();
  store_.At(1, {.kind = Kind::kLoseReply});
  EXPECT_FAILS(Errc::kUnavailable, store_.Delete({{key_}}));
  EXPECT_EQ(Content(), "absent");
}

TEST_F(FaultStoreTest, TearsReadsDeletionsAndCommits) {
  ASSERT_OK(Put("12345678"));
  Bytes out(8, std::byte{'-'});
  store_.At(1, {.kind = Kind::kTear});
  EXPECT_FAILS(Errc::kUnavailable, store_.ReadAt(key_, 0, out));
  EXPECT_EQ(AsText(out), "1234----");

  const std::vector<ObjectKey> keys{key_, ObjectKey("other")};
  ASSERT_OK(store::PutObject(memory_, keys[1], {}, {}));
  store_.At(1, {.kind = Kind::kTear});
  EXPECT_FAILS(Errc::kUnavailable, store_.Delete(keys));
  EXPECT_EQ(Content(), "absent");
  EXPECT_OK(memory_.Head(keys[1]));

  store_.CountOnly(StoreCall::kCommit);
  store_.At(1, {.kind = Kind::kTear});
  EXPECT_FAILS(Errc::kUnavailable, Put("x"));
  EXPECT_EQ(Content(), "absent");
}

TEST_F(FaultStoreTest, ADuplicateIsDoneTwiceAndAnsweredOnce) {
  FaultStore inner(memory_, clock_);
  FaultStore outer(inner, clock_);
  const auto done_by = [&](StoreCall call, auto act) {
    inner.CountOnly(call);
    inner.Heal();
    outer.CountOnly(call);
    outer.At(1, {.kind = Kind::kDuplicate});
    EXPECT_OK(act());
    return inner.call_count();
  };
  // The second application of a creation meets the first, and nobody hears of it.
  const auto create = [&] {
    return store::PutObject(outer, key_, AsBytes("x"), {.condition = PutCondition::IfAbsent()});
  };
  EXPECT_EQ(done_by(StoreCall::kCommit, create), 2U);
  EXPECT_EQ(Content(), "x");
  EXPECT_EQ(done_by(StoreCall::kDelete, [&] { return outer.Delete({{key_}}); }), 2U);
}

TEST_F(FaultStoreTest, DelaysOnTheClock) {
  const MonotonicTime before = clock_.MonotonicNow();
  store_.At(1, {.kind = Kind::kDelay, .delay = std::chrono::seconds(3)});
  EXPECT_OK(Put("x"));
  EXPECT_EQ(clock_.MonotonicNow() - before, std::chrono::seconds(3));
}

TEST_F(FaultStoreTest, ThrottlesForAWhile) {
  store_.Throttle(2);
  EXPECT_FAILS(Errc::kUnavailable, Put("x"));
  EXPECT_FAILS(Errc::kUnavailable, Put("x"));
  EXPECT_OK(Put("x"));
  store_.FailFrom(1, Errc::kTimedOut);
  EXPECT_FAILS(Errc::kTimedOut, Put("x"));
  EXPECT_FAILS(Errc::kTimedOut, store_.Head(key_));
  store_.Heal();
  EXPECT_OK(Put("x"));
}

TEST_F(FaultStoreTest, AFrozenListingIsStale) {
  ASSERT_OK(Put("x"));
  ASSERT_OK(store_.FreezeListing());
  ASSERT_OK(store::PutObject(store_, ObjectKey("new"), {}, {}));
  ASSERT_OK(store_.Delete({{key_}}));
  ASSERT_OK_AND_ASSIGN(const auto stale, store::ListAll(store_, ""));
  ASSERT_EQ(stale.size(), 1U);
  EXPECT_EQ(stale[0].key, key_);
  store_.ThawListing();
  ASSERT_OK_AND_ASSIGN(const auto fresh, store::ListAll(store_, ""));
  ASSERT_EQ(fresh.size(), 1U);
  EXPECT_EQ(fresh[0].key.text(), "new");
}

TEST_F(FaultStoreTest, NamesWhatItDid) {
  store_.At(3, {});
  EXPECT_FAILS(Errc::kUnavailable, Put("x"));
  EXPECT_NE(store_.RecentCalls().find("3 commit k  <-- fault"), std::string::npos)
      << store_.RecentCalls();
}

}  // namespace
}  // namespace runnel::testing
