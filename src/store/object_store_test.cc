#include "store/object_store.h"

#include <gtest/gtest.h>

#include "store/memory_store.h"
#include "store/object_source.h"
#include "testing/fault_store.h"
#include "testing/manual_clock.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"

namespace runnel::store {
namespace {

class ObjectStoreHelpersTest : public ::testing::Test {
 protected:
  void Put(const std::string& key, ByteView body) {
    ASSERT_OK(PutObject(memory_, ObjectKey(key), body, {}));
  }

  testing::ManualClock clock_;
  testing::SeededRandom random_{3};
  MemoryStore memory_{clock_};
  testing::FaultStore store_{memory_, clock_};
};

TEST_F(ObjectStoreHelpersTest, ReadObjectTakesWhatFitsAndRefusesTheRest) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{262'143}, std::size_t{262'144},
        std::size_t{262'145}, std::size_t{3'000'000}}) {
    const Bytes body = random_.NextBytes(size);
    Put("k", body);
    ASSERT_OK_AND_ASSIGN(const Bytes exact, ReadObject(store_, ObjectKey("k"), size));
    EXPECT_TRUE(exact == body) << size;
    ASSERT_OK_AND_ASSIGN(const Bytes roomy, ReadObject(store_, ObjectKey("k"), size + 10'000'000));
    EXPECT_TRUE(roomy == body) << size;
    if (size > 0) EXPECT_FAILS(Errc::kCorruption, ReadObject(store_, ObjectKey("k"), size - 1));
  }
  EXPECT_FAILS(Errc::kNotFound, ReadObject(store_, ObjectKey("none"), 10));
}

TEST_F(ObjectStoreHelpersTest, HasContentComparesEveryByte) {
  const Bytes body = random_.NextBytes(600'000);
  Put("k", body);
  const auto has = [&](ByteView expected) {
    auto result = HasContent(store_, ObjectKey("k"), expected);
    EXPECT_OK(result);
    return result && *result;
  };
  EXPECT_TRUE(has(body));
  EXPECT_FALSE(has(ByteView(body).first(body.size() - 1)));
  Bytes longer = body;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(has(longer));
  for (const std::size_t at : {std::size_t{0}, std::size_t{262'144}, body.size() - 1}) {
    Bytes other = body;
    other[at] ^= std::byte{1};
    EXPECT_FALSE(has(other)) << at;
  }
  EXPECT_FALSE(*HasContent(store_, ObjectKey("none"), {}));
  Put("empty", {});
  EXPECT_TRUE(*HasContent(store_, ObjectKey("empty"), {}));
}

TEST_F(ObjectStoreHelpersTest, ASourceAsksForWindowsAndStopsWhereItIsTold) {
  const Bytes body = random_.NextBytes(1000);
  Put("k", body);
  ObjectSource source(store_, ObjectKey("k"), 100, 250, 100);
  Bytes read(250);
  ASSERT_OK(ReadExactly(source, read));
  EXPECT_TRUE(std::equal(read.begin(), read.end(), body.begin() + 100));
  ASSERT_OK_AND_ASSIGN(const std::size_t end, source.Read(read));
  EXPECT_EQ(end, 0U);
  EXPECT_EQ(store_.call_count(), 3U);
}

TEST_F(ObjectStoreHelpersTest, ASourceGoesOnAfterAFailure) {
  const Bytes body = random_.NextBytes(300);
  Put("k", body);
  ObjectSource source(store_, ObjectKey("k"), 0, UINT64_MAX, 100);
  Bytes read(300);
  ASSERT_OK(ReadExactly(source, MutableBytes(read).first(100)));
  store_.At(1, {.kind = testing::StoreFault::Kind::kTear});
  EXPECT_FAILS(Errc::kUnavailable, source.Read(read));
  ASSERT_OK(ReadExactly(source, MutableBytes(read).subspan(100)));
  EXPECT_TRUE(read == body);
}

TEST_F(ObjectStoreHelpersTest, AStoreWithoutConditionsSaysSo) {
  MemoryStore plain(clock_, {.conditional_writes = false});
  EXPECT_FAILS(Errc::kUnsupported,
               PutObject(plain, ObjectKey("k"), {}, {.condition = PutCondition::IfAbsent()}));
}

TEST_F(ObjectStoreHelpersTest, ListingWithoutTimestampsShowsUploads) {
  MemoryStore plain(clock_, {.timestamps_in_list = false});
  const WallTime given{std::chrono::milliseconds(5)};
  ASSERT_OK(PutObject(plain, ObjectKey("k"), {}, {.timestamp = given}));
  EXPECT_EQ(plain.Head(ObjectKey("k"))->timestamp, given);
  EXPECT_EQ(plain.List("", std::nullopt, 1)->objects[0].timestamp, clock_.Now());
}

}  // namespace
}  // namespace runnel::store
