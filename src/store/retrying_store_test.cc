#include "store/retrying_store.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "store/memory_store.h"
#include "testing/fault_store.h"
#include "testing/manual_clock.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"

namespace runnel::store {
namespace {

using std::chrono::milliseconds;
using testing::StoreCall;
using testing::StoreFault;
using Kind = StoreFault::Kind;

class RetryingStoreTest : public ::testing::Test {
 protected:
  Result<ObjectInfo> Put(std::string_view body, PutCondition condition = PutCondition::None()) {
    return PutObject(store_, key_, AsBytes(body),
                     {.condition = std::move(condition), .timestamp = std::nullopt});
  }
  std::string Content() {
    auto body = ReadObject(memory_, key_, 1 << 20);
    return body ? std::string(AsText(*body)) : std::string(ErrcName(body.error().code()));
  }
  std::chrono::nanoseconds Elapsed() { return clock_.MonotonicNow() - start_; }

  const ObjectKey key_{"k"};
  testing::ManualClock clock_;
  testing::SeededRandom random_{9};
  MemoryStore memory_{clock_};
  testing::FaultStore faulty_{memory_, clock_};
  RetryPolicy policy_{.attempts_max = 5,
                      .first_pause = milliseconds(100),
                      .pause_max = milliseconds(300),
                      .budget = std::chrono::seconds(60),
                      .replay_max_bytes = 100};
  RetryingStore store_{faulty_, policy_, clock_, random_};
  const MonotonicTime start_ = clock_.MonotonicNow();
};

TEST_F(RetryingStoreTest, TriesAgainUntilItWorks) {
  faulty_.Throttle(4);
  EXPECT_OK(Put("x"));
  EXPECT_EQ(Content(), "x");
  faulty_.Throttle(2);
  EXPECT_OK(store_.Head(key_));
  faulty_.Throttle(2);
  EXPECT_OK(store_.List("", std::nullopt, 10));
  faulty_.Throttle(2);
  Bytes out(1);
  EXPECT_OK(store_.ReadAt(key_, 0, out));
  faulty_.Throttle(2);
  EXPECT_OK(store_.Delete({{key_}}));
  EXPECT_EQ(Content(), "not_found");
}

TEST_F(RetryingStoreTest, PausesGrowAreCappedAndNeverShorterThanHalf) {
  faulty_.FailFrom(1);
  EXPECT_FAILS(Errc::kUnavailable, store_.Head(key_));
  EXPECT_EQ(faulty_.call_count(), 5U);
  // 100, 200, 300, 300 ms at most, half of that at least.
  EXPECT_LE(Elapsed(), milliseconds(900));
  EXPECT_GE(Elapsed(), milliseconds(450));
}

TEST_F(RetryingStoreTest, TheBudgetEndsItBeforeTheAttemptsDo) {
  RetryPolicy policy = policy_;
  policy.attempts_max = 1000;
  policy.budget = std::chrono::seconds(2);
  RetryingStore store(faulty_, policy, clock_, random_);
  faulty_.FailFrom(1, Errc::kTimedOut);
  EXPECT_FAILS(Errc::kTimedOut, store.Head(key_));
  EXPECT_LE(Elapsed(), std::chrono::seconds(2));
  EXPECT_GT(Elapsed(), milliseconds(1500));
}

TEST_F(RetryingStoreTest, WhatCannotPassIsNotTriedAgain) {
  EXPECT_FAILS(Errc::kNotFound, store_.Head(key_));
  EXPECT_EQ(faulty_.call_count(), 1U);
  faulty_.At(1, {.code = Errc::kPermissionDenied});
  EXPECT_FAILS(Errc::kPermissionDenied, Put("x"));
  EXPECT_EQ(Elapsed(), milliseconds(0));
}

TEST_F(RetryingStoreTest, StopsWhenItIsToldTo) {
  bool stop = false;
  store_.SetStopRequested([&] { return stop; });
  faulty_.FailFrom(1);
  stop = true;
  EXPECT_FAILS(Errc::kUnavailable, store_.Head(key_));
  EXPECT_EQ(faulty_.call_count(), 1U);
}

TEST_F(RetryingStoreTest, ALostReplyOfACreationIsASuccess) {
  faulty_.CountOnly(StoreCall::kCommit);
  faulty_.At(1, {.kind = Kind::kLoseReply});
  ASSERT_OK_AND_ASSIGN(const ObjectInfo info, Put("mine", PutCondition::IfAbsent()));
  EXPECT_EQ(info.etag, memory_.Head(key_)->etag);
  EXPECT_EQ(Content(), "mine");
}

TEST_F(RetryingStoreTest, ALostReplyOfASwapIsASuccess) {
  ASSERT_OK_AND_ASSIGN(const ObjectInfo before, Put("before"));
  faulty_.CountOnly(StoreCall::kCommit);
  faulty_.Heal();
  faulty_.At(1, {.kind = Kind::kLoseReply});
  faulty_.At(2, {.kind = Kind::kFail});
  ASSERT_OK(Put("after", PutCondition::IfMatch(before.etag)));
  EXPECT_EQ(Content(), "after");
}

TEST_F(RetryingStoreTest, AnotherWritersObjectIsNotOurs) {
  ASSERT_OK(PutObject(memory_, key_, AsBytes("them"), {}));
  faulty_.CountOnly(StoreCall::kCommit);
  faulty_.At(1, {.kind = Kind::kFail});
  EXPECT_FAILS(Errc::kAlreadyExists, Put("ours", PutCondition::IfAbsent()));
  EXPECT_EQ(Content(), "them");
}

TEST_F(RetryingStoreTest, EqualBytesWithoutAFailureBeforeAreAnotherWriters) {
  ASSERT_OK(PutObject(memory_, key_, AsBytes("same"), {}));
  EXPECT_FAILS(Errc::kAlreadyExists, Put("same", PutCondition::IfAbsent()));
  // A failure before the commit leaves nothing open either.
  faulty_.Heal();
  faulty_.At(1, {.kind = Kind::kFail});  // StartPut
  faulty_.At(3, {.kind = Kind::kTear});  // Append of the second attempt
  EXPECT_FAILS(Errc::kAlreadyExists, Put("same", PutCondition::IfAbsent()));
}

TEST_F(RetryingStoreTest, ALargeBodyStreamsAndIsNotTriedAgain) {
  const std::string large(1000, 'x');
  ASSERT_OK_AND_ASSIGN(auto writer, store_.StartPut(key_, {}));
  for (int i = 0; i < 10; ++i) ASSERT_OK(writer->Append(AsBytes(large)));
  faulty_.CountOnly(StoreCall::kCommit);
  faulty_.Heal();
  faulty_.At(1, {.kind = Kind::kLoseReply});
  EXPECT_FAILS(Errc::kUnavailable, writer->Commit());
  EXPECT_EQ(faulty_.call_count(), 1U);
  EXPECT_EQ(Content().size(), 10'000U);
  // What the caller does about it.
  ASSERT_OK_AND_ASSIGN(const bool is_ours,
                       HasContent(store_, key_, AsBytes(std::string(10'000, 'x'))));
  EXPECT_TRUE(is_ours);
}

TEST_F(RetryingStoreTest, AnyFaultAtAnyCallOfACreationEndsInOneObject) {
  for (const Kind kind : {Kind::kFail, Kind::kTear, Kind::kLoseReply, Kind::kDuplicate}) {
    for (std::uint64_t first = 1; first <= 3; ++first) {
      for (std::uint64_t second = first + 1; second <= 8; ++second) {
        faulty_.Heal();
        faulty_.At(first, {.kind = kind});
        faulty_.At(second, {.kind = kind});
        ASSERT_OK(Put("body", PutCondition::IfAbsent())) << faulty_.RecentCalls();
        ASSERT_EQ(Content(), "body");
        ASSERT_OK(memory_.Delete({{key_}}));
      }
    }
  }
}

}  // namespace
}  // namespace runnel::store
