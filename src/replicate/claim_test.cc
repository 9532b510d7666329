#include "replicate/claim.h"

#include <gmock/gmock.h>

#include "testing/pausing_store.h"
#include "testing/replica_world.h"

namespace runnel::replicate {
namespace {

using namespace std::chrono_literals;
using runnel::testing::PausingStore;
using ::testing::HasSubstr;
using testing::StoreFault;

class ClaimTest : public testing::ReplicateTest {
 protected:
  Claim Make(store::ObjectStore& target, std::string host = "host") {
    return Claim(target, layout.ClaimKey(),
                 {.host = std::move(host), .boot_id = "boot", .database = "db"}, clock, random);
  }
  std::string Stored() {
    const auto body = store::ReadObject(memory, layout.ClaimKey(), 1 << 20);
    EXPECT_OK(body);
    return body ? std::string(AsText(*body)) : std::string();
  }
};

TEST_F(ClaimTest, TakesTheNextEpoch) {
  Claim first = Make(store);
  ASSERT_OK(first.Take());
  EXPECT_EQ(first.epoch(), 1U);
  Claim second = Make(store);
  ASSERT_OK(second.Take());
  EXPECT_EQ(second.epoch(), 2U);
  EXPECT_OK(second.Check());
  ASSERT_OK(first.Take());
  EXPECT_EQ(first.epoch(), 3U);
}

TEST_F(ClaimTest, ThePreviousHolderFindsOutAndSaysWhoHasIt) {
  Claim first = Make(store);
  Claim second = Make(store, "newcomer");
  ASSERT_OK(first.Take());
  ASSERT_OK(second.Take());
  const auto checked = first.Check();
  ASSERT_FAILS(Errc::kFenced, checked);
  EXPECT_THAT(checked.error().message(), HasSubstr("newcomer"));
}

TEST_F(ClaimTest, RoundTripsAndIsDocumentedJson) {
  Claim claim = Make(store);
  ASSERT_OK(claim.Take());
  ASSERT_OK_AND_ASSIGN(const ClaimRecord record, ParseClaim(Stored()));
  EXPECT_EQ(record.epoch, 1U);
  EXPECT_EQ(record.identity.host, "host");
  EXPECT_EQ(record.identity.boot_id, "boot");
  EXPECT_EQ(record.identity.database, "db");
  EXPECT_EQ(record.started, clock.Now());
  EXPECT_EQ(SerializeClaim(record), Stored());
}

TEST_F(ClaimTest, AnyLostReplyIsStillOneClaim) {
  for (std::uint64_t n = 1; n <= 8; ++n) {
    SCOPED_TRACE(n);
    Claim claim = Make(store);
    store.At(n, {.kind = StoreFault::Kind::kLoseReply});
    (void)claim.Take();  // may fail: then it is tried again
    store.Heal();
    ASSERT_OK(claim.Take());
    EXPECT_OK(claim.Check());
    EXPECT_EQ(ParseClaim(Stored())->epoch, claim.epoch());
  }
}

TEST_F(ClaimTest, ADeletedClaimIsPutBackWithAHigherEpoch) {
  Claim claim = Make(store);
  ASSERT_OK(claim.Take());
  const store::ObjectKey key = layout.ClaimKey();
  ASSERT_OK(memory.Delete(std::span(&key, 1)));
  ASSERT_OK(claim.Check());
  EXPECT_EQ(claim.epoch(), 2U);
  EXPECT_EQ(ParseClaim(Stored())->epoch, 2U);
}

TEST_F(ClaimTest, IsReadAgainOnlyWhenItIsOld) {
  Claim claim = Make(store);
  ASSERT_OK(claim.Take());
  const std::uint64_t calls = store.call_count();
  clock.Advance(9s);
  ASSERT_OK(claim.CheckIfOlder(10s));
  EXPECT_EQ(store.call_count(), calls);
  clock.Advance(1s);
  ASSERT_OK(claim.CheckIfOlder(10s));
  EXPECT_GT(store.call_count(), calls);
}

TEST_F(ClaimTest, DamagedAndNewerClaimsAreNotReplaced) {
  for (const auto& [text, code] :
       {std::pair("", Errc::kCorruption), std::pair("{", Errc::kCorruption),
        std::pair("[]", Errc::kCorruption), std::pair(R"({"version":1})", Errc::kCorruption),
        std::pair(R"({"version":1,"epoch":-1})", Errc::kCorruption),
        std::pair(R"({"version":1,"epoch":"7"})", Errc::kCorruption),
        std::pair(R"({"version":2,"epoch":7})", Errc::kUnsupported)}) {
    ASSERT_OK(store::PutObject(memory, layout.ClaimKey(), AsBytes(text), {}));
    Claim claim = Make(store);
    EXPECT_FAILS(code, claim.Take()) << text;
    EXPECT_EQ(Stored(), text);
  }
}

// At each call that one makes, the other takes the claim from beginning to end.
TEST_F(ClaimTest, OfTwoThatTakeItAtOnceExactlyOneHasIt) {
  for (const bool taken_before : {false, true}) {
    std::uint64_t calls = 1;
    for (std::uint64_t n = 1; n <= calls; ++n) {
      SCOPED_TRACE(::testing::Message() << "call " << n);
      store::MemoryStore fresh(clock);
      Claim before = Make(fresh);
      if (taken_before) ASSERT_OK(before.Take());
      PausingStore paused(fresh);
      Claim one = Make(paused);
      Claim other = Make(fresh);
      paused.At(n, [&] { EXPECT_OK(other.Take()); });
      ASSERT_OK(one.Take());
      calls = paused.call_count();
      if (other.epoch() == 0) break;  // `one` needed fewer calls this time
      EXPECT_NE(one.epoch(), other.epoch());
      Claim& winner = one.epoch() > other.epoch() ? one : other;
      Claim& loser = one.epoch() > other.epoch() ? other : one;
      EXPECT_OK(winner.Check());
      EXPECT_FAILS(Errc::kFenced, loser.Check());
    }
    EXPECT_GE(calls, 3U);
  }
}

TEST_F(ClaimTest, WithoutConditionalWritesTheLastOneHasIt) {
  store::MemoryStore plain(
      clock, {.conditional_writes = false, .bills_requests = false, .timestamps_in_list = true});
  Claim first = Make(plain);
  Claim second = Make(plain);
  ASSERT_OK(first.Take());
  ASSERT_OK(second.Take());
  EXPECT_EQ(second.epoch(), 2U);
  EXPECT_FAILS(Errc::kFenced, first.Check());
  EXPECT_OK(second.Check());
}

// As a store is that can only find out by trying.
class LateStore final : public store::ObjectStore {
 public:
  explicit LateStore(store::ObjectStore& store) : store_(store) {}
  std::string_view kind() const override { return "late"; }
  std::string location() const override { return "late://"; }
  store::Capabilities capabilities() const override {
    return {.conditional_writes = !tried_, .bills_requests = true, .timestamps_in_list = false};
  }
  Result<std::unique_ptr<store::ObjectWriter>> StartPut(const store::ObjectKey& key,
                                                        const store::PutOptions& options) override {
    if (options.condition.kind() == store::PutCondition::Kind::kNone) {
      return store_.StartPut(key, options);
    }
    tried_ = true;
    return Fail(Errc::kUnsupported, "no conditional writes");
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
    return store_.Delete(keys);
  }

 private:
  store::ObjectStore& store_;
  bool tried_ = false;
};

TEST_F(ClaimTest, AStoreThatFindsOutLateIsClaimedAtTheFirstTry) {
  LateStore late(store);
  Claim claim = Make(late);
  ASSERT_OK(claim.Take());
  EXPECT_EQ(claim.epoch(), 1U);
  EXPECT_OK(claim.Check());
}

}  // namespace
}  // namespace runnel::replicate
