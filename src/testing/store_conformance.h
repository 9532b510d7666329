// What every ObjectStore promises, as one suite. Include it in one source file of a test program,
// and instantiate:
//
//   INSTANTIATE_TEST_SUITE_P(Stores, ObjectStoreConformanceTest,
//                            ::testing::Values(StoreCase{"File", MakeFileStoreSubject}),
//                            StoreCaseName);
//
// ObjectStorePowerLossTest in the same way, for a store on a simulated machine.

#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "store/object_source.h"
#include "store/object_store.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"

namespace runnel::testing {

// A store that holds nothing, and all that it needs.
class StoreSubject {
 public:
  virtual ~StoreSubject() = default;
  virtual store::ObjectStore& store() = 0;

  // Cuts the power of the simulated machine. store() is the one of a new process afterwards.
  virtual void PowerLoss(Random&) {}
};

struct StoreCase {
  const char* name;
  std::function<std::unique_ptr<StoreSubject>()> make;
};

inline std::string StoreCaseName(const ::testing::TestParamInfo<StoreCase>& info) {
  return info.param.name;
}

class ObjectStoreConformanceTest : public ::testing::TestWithParam<StoreCase> {
 protected:
  using Key = store::ObjectKey;
  using Condition = store::PutCondition;

  store::ObjectStore& store() { return subject_->store(); }

  Result<store::ObjectInfo> Put(const std::string& key, std::string_view body,
                                Condition condition = Condition::None()) {
    return store::PutObject(store(), Key(key), AsBytes(body),
                            {.condition = std::move(condition), .timestamp = std::nullopt});
  }

  std::string Get(const std::string& key) {
    auto body = store::ReadObject(store(), Key(key), 1 << 20);
    return body ? std::string(AsText(*body)) : std::string(ErrcName(body.error().code()));
  }

  std::vector<std::string> ListKeys(const std::string& prefix) {
    std::vector<std::string> keys;
    auto objects = store::ListAll(store(), prefix);
    EXPECT_OK(objects);
    if (!objects) return keys;
    for (const auto& object : *objects) keys.push_back(object.key.text());
    return keys;
  }

  std::unique_ptr<StoreSubject> subject_ = GetParam().make();
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ObjectStoreConformanceTest);

TEST_P(ObjectStoreConformanceTest, GivesBackWhatWasPut) {
  ASSERT_OK_AND_ASSIGN(const auto put, Put("a/b/c.ltx", "hello"));
  EXPECT_EQ(put.key, Key("a/b/c.ltx"));
  EXPECT_EQ(put.size_bytes, 5U);
  EXPECT_EQ(Get("a/b/c.ltx"), "hello");
  ASSERT_OK_AND_ASSIGN(const auto head, store().Head(Key("a/b/c.ltx")));
  EXPECT_EQ(head.size_bytes, 5U);
  EXPECT_EQ(head.etag, put.etag);
  EXPECT_EQ(head.timestamp, put.timestamp);
}

TEST_P(ObjectStoreConformanceTest, WhatIsNotThereIsNotFound) {
  ASSERT_OK(Put("dir/object", "x"));
  Bytes out(1);
  for (const char* key : {"none", "none/below", "dir", "dir/object2"}) {
    EXPECT_FAILS(Errc::kNotFound, store().Head(Key(key))) << key;
    EXPECT_FAILS(Errc::kNotFound, store().ReadAt(Key(key), 0, out)) << key;
  }
  EXPECT_EQ(ListKeys("none/"), std::vector<std::string>{});
}

TEST_P(ObjectStoreConformanceTest, ReadsRangesUpToTheEnd) {
  ASSERT_OK(Put("k", "0123456789"));
  const auto read = [&](std::uint64_t offset, std::size_t size) {
    Bytes out(size);
    auto count = store().ReadAt(Key("k"), offset, out);
    return count ? std::string(AsText(ByteView(out).first(*count))) : count.error().message();
  };
  EXPECT_EQ(read(0, 10), "0123456789");
  EXPECT_EQ(read(3, 4), "3456");
  EXPECT_EQ(read(0, 100), "0123456789");
  EXPECT_EQ(read(8, 4), "89");
  EXPECT_EQ(read(10, 4), "");
  EXPECT_EQ(read(1'000'000, 4), "");
  EXPECT_EQ(read(4, 0), "");
}

TEST_P(ObjectStoreConformanceTest, KeepsEmptyObjects) {
  ASSERT_OK(Put("empty", ""));
  EXPECT_EQ(Get("empty"), "");
  ASSERT_OK_AND_ASSIGN(const auto head, store().Head(Key("empty")));
  EXPECT_EQ(head.size_bytes, 0U);
  EXPECT_EQ(ListKeys(""), std::vector<std::string>{"empty"});
}

TEST_P(ObjectStoreConformanceTest, ReplacesWithoutACondition) {
  ASSERT_OK_AND_ASSIGN(const auto first, Put("k", "a longer first body"));
  ASSERT_OK_AND_ASSIGN(const auto second, Put("k", "second"));
  EXPECT_EQ(Get("k"), "second");
  EXPECT_NE(first.etag, second.etag);
}

TEST_P(ObjectStoreConformanceTest, AWriterThatIsNotCommittedLeavesNothing) {
  {
    ASSERT_OK_AND_ASSIGN(auto writer, store().StartPut(Key("d/k"), {}));
    ASSERT_OK(writer->Append(AsBytes("some bytes")));
    EXPECT_EQ(Get("d/k"), "not_found");
    EXPECT_EQ(ListKeys(""), std::vector<std::string>{});
  }
  EXPECT_EQ(Get("d/k"), "not_found");
  EXPECT_EQ(ListKeys(""), std::vector<std::string>{});
}

TEST_P(ObjectStoreConformanceTest, AReaderNeverSeesAMixOfTwoVersions) {
  const std::string a(50'000, 'a');
  const std::string b(50'000, 'b');
  ASSERT_OK(Put("k", a));
  std::atomic<bool> done = false;
  std::jthread writer([&] {
    for (int i = 0; i < 30; ++i) EXPECT_OK(Put("k", i % 2 == 0 ? b : a));
    done = true;
  });
  while (!done) {
    Bytes out(50'000);
    ASSERT_OK_AND_ASSIGN(const std::size_t count, store().ReadAt(Key("k"), 0, out));
    const std::string body(AsText(ByteView(out).first(count)));
    ASSERT_TRUE(body == a || body == b) << "mixed or short: " << count << " bytes";
  }
}

TEST_P(ObjectStoreConformanceTest, TakesOddNamesAsTheyAre) {
  const std::vector<std::string> keys = {
      "!",
      "$&'()*,;=:@",
      "-",
      ".hidden",
      "a b",
      "a%20b",
      "a+b",
      "a..b/...",
      "a?b#c",
      "dir with space/ü/日本語",
      std::string(200, 'x'),
      "~",
  };
  for (const std::string& key : keys) ASSERT_OK(Put(key, "body of " + key)) << key;
  for (const std::string& key : keys) EXPECT_EQ(Get(key), "body of " + key);
  EXPECT_EQ(ListKeys(""), keys);
  EXPECT_EQ(ListKeys("dir with space/ü/"), std::vector<std::string>{"dir with space/ü/日本語"});
}

TEST_P(ObjectStoreConformanceTest, RefusesWhatIsNoName) {
  for (const std::string key :
       {"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "../a", "a/."}) {
    EXPECT_FAILS(Errc::kInvalidArgument, Put(key, "x")) << key;
  }
  EXPECT_FAILS(Errc::kInvalidArgument, Put(std::string("a\0b", 3), "x"));
  EXPECT_EQ(ListKeys("../"), std::vector<std::string>{});
  EXPECT_EQ(ListKeys("/"), std::vector<std::string>{});
}

TEST_P(ObjectStoreConformanceTest, ListsInOrderOfWholeKeysPageByPage) {
  // '-' and '.' sort before '/', '0' after it: the order of names in a directory is another.
  const std::vector<std::string> keys = {"a-b/x", "a.txt", "a/b/c", "a/b/d", "a/c",
                                         "a0",    "b",     "c/1",   "c/2",   "c/3"};
  for (auto key = keys.rbegin(); key != keys.rend(); ++key) ASSERT_OK(Put(*key, "x"));
  for (std::size_t limit = 1; limit <= keys.size() + 1; ++limit) {
    std::vector<std::string> listed;
    std::optional<Key> start_after;
    do {
      ASSERT_OK_AND_ASSIGN(auto page, store().List("", start_after, limit));
      ASSERT_LE(page.objects.size(), limit);
      for (const auto& object : page.objects) listed.push_back(object.key.text());
      start_after = page.next_after;
    } while (start_after);
    ASSERT_EQ(listed, keys) << "pages of " << limit;
  }
}

TEST_P(ObjectStoreConformanceTest, ListsAfterAnyKeyThereOrNot) {
  const std::vector<std::string> keys = {"a/1", "a/2", "b/1", "b/2", "c"};
  for (const std::string& key : keys) ASSERT_OK(Put(key, "x"));
  for (const std::string after :
       {"0", "a", "a/", "a/1", "a/15", "a/2", "a/9", "a0", "b", "b/2", "bb", "c", "d"}) {
    std::vector<std::string> expected;
    for (const std::string& key : keys) {
      if (key > after) expected.push_back(key);
    }
    ASSERT_OK_AND_ASSIGN(const auto page, store().List("", Key(after), 100));
    std::vector<std::string> listed;
    for (const auto& object : page.objects) listed.push_back(object.key.text());
    EXPECT_EQ(listed, expected) << "after " << after;
  }
}

TEST_P(ObjectStoreConformanceTest, APrefixIsTextNotADirectory) {
  for (const char* key : {"ltx/0/a", "ltx/0/b", "ltx/00", "ltx/1/a", "ltx", "lt"}) {
    const std::string name = key;
    // No file store can have both an object and a directory of one name.
    if (name != "ltx") ASSERT_OK(Put(name, "x"));
  }
  using Keys = std::vector<std::string>;
  EXPECT_EQ(ListKeys("ltx/0"), (Keys{"ltx/0/a", "ltx/0/b", "ltx/00"}));
  EXPECT_EQ(ListKeys("ltx/0/"), (Keys{"ltx/0/a", "ltx/0/b"}));
  EXPECT_EQ(ListKeys("ltx/0/b"), (Keys{"ltx/0/b"}));
  EXPECT_EQ(ListKeys("lt"), (Keys{"lt", "ltx/0/a", "ltx/0/b", "ltx/00", "ltx/1/a"}));
  EXPECT_EQ(ListKeys("ltx/0/c"), Keys{});
}

TEST_P(ObjectStoreConformanceTest, DeletesWhatIsThereOfABatch) {
  for (const char* key : {"a/1", "a/2", "b"}) ASSERT_OK(Put(key, "x"));
  const std::vector<Key> batch = {Key("a/1"), Key("none"), Key("none/below"), Key("b"), Key("a")};
  ASSERT_OK(store().Delete(batch));
  EXPECT_EQ(ListKeys(""), std::vector<std::string>{"a/2"});
  EXPECT_EQ(Get("a/1"), "not_found");
  ASSERT_OK(store().Delete({}));
  ASSERT_OK(Put("a/1", "again"));
  EXPECT_EQ(Get("a/1"), "again");
}

TEST_P(ObjectStoreConformanceTest, KeepsTheTimestampThatWasGiven) {
  const WallTime time{std::chrono::milliseconds(1'600'000'000'120)};
  ASSERT_OK_AND_ASSIGN(const auto put,
                       store::PutObject(store(), Key("k"), AsBytes("x"), {.timestamp = time}));
  EXPECT_EQ(put.timestamp, time);
  ASSERT_OK_AND_ASSIGN(const auto head, store().Head(Key("k")));
  EXPECT_EQ(head.timestamp, time);
  if (!store().capabilities().timestamps_in_list) return;
  ASSERT_OK_AND_ASSIGN(const auto page, store().List("", std::nullopt, 10));
  ASSERT_EQ(page.objects.size(), 1U);
  EXPECT_EQ(page.objects[0].timestamp, time);
  EXPECT_EQ(page.objects[0].size_bytes, 1U);
}

TEST_P(ObjectStoreConformanceTest, IfAbsentMeetsWhatIsThere) {
  if (!store().capabilities().conditional_writes) GTEST_SKIP() << "no conditional writes";
  ASSERT_OK(Put("d/k", "first", Condition::IfAbsent()));
  EXPECT_FAILS(Errc::kAlreadyExists, Put("d/k", "second", Condition::IfAbsent()));
  EXPECT_EQ(Get("d/k"), "first");
  EXPECT_EQ(ListKeys(""), std::vector<std::string>{"d/k"});
  const std::vector<Key> batch = {Key("d/k")};
  ASSERT_OK(store().Delete(batch));
  EXPECT_OK(Put("d/k", "third", Condition::IfAbsent()));
}

TEST_P(ObjectStoreConformanceTest, IfMatchReplacesOnlyTheVersionMeant) {
  if (!store().capabilities().conditional_writes) GTEST_SKIP() << "no conditional writes";
  ASSERT_OK_AND_ASSIGN(const auto first, Put("k", "first"));
  ASSERT_OK_AND_ASSIGN(const auto second, Put("k", "other", Condition::IfMatch(first.etag)));
  EXPECT_FAILS(Errc::kPreconditionFailed, Put("k", "late", Condition::IfMatch(first.etag)));
  EXPECT_EQ(Get("k"), "other");
  EXPECT_OK(Put("k", "third", Condition::IfMatch(second.etag)));
  EXPECT_FAILS(Errc::kPreconditionFailed, Put("gone", "x", Condition::IfMatch(first.etag)));
  EXPECT_EQ(ListKeys(""), std::vector<std::string>{"k"});
}

TEST_P(ObjectStoreConformanceTest, OfManyThatCreateOneWins) {
  if (!store().capabilities().conditional_writes) GTEST_SKIP() << "no conditional writes";
  constexpr int kThreads = 8;
  for (int round = 0; round < 20; ++round) {
    const std::string key = "race/" + std::to_string(round);
    std::latch start(kThreads);
    std::atomic<int> winners = 0;
    std::atomic<int> losers = 0;
    std::atomic<int> winner = -1;
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        start.arrive_and_wait();
        auto put = Put(key, std::to_string(t), Condition::IfAbsent());
        if (put) ++winners, winner = t;
        if (!put && put.error().code() == Errc::kAlreadyExists) ++losers;
      });
    }
    threads.clear();
    ASSERT_EQ(winners, 1) << round;
    ASSERT_EQ(losers, kThreads - 1) << round;
    ASSERT_EQ(Get(key), std::to_string(winner));
  }
}

TEST_P(ObjectStoreConformanceTest, OfManyThatSwapOneWins) {
  if (!store().capabilities().conditional_writes) GTEST_SKIP() << "no conditional writes";
  constexpr int kThreads = 8;
  ASSERT_OK_AND_ASSIGN(auto current, Put("k", "start"));
  for (int round = 0; round < 20; ++round) {
    std::latch start(kThreads);
    std::atomic<int> winners = 0;
    std::atomic<int> losers = 0;
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        const std::string body = std::to_string(round) + "/" + std::to_string(t);
        start.arrive_and_wait();
        auto put = Put("k", body, Condition::IfMatch(current.etag));
        if (put) ++winners;
        if (!put && put.error().code() == Errc::kPreconditionFailed) ++losers;
      });
    }
    threads.clear();
    ASSERT_EQ(winners, 1) << round;
    ASSERT_EQ(losers, kThreads - 1) << round;
    ASSERT_OK_AND_ASSIGN(current, store().Head(Key("k")));
  }
}

TEST_P(ObjectStoreConformanceTest, StreamsALargeObjectInSmallPieces) {
  constexpr std::size_t kPiece = std::size_t{256} * 1024;
  constexpr std::size_t kPieces = 256;  // 64 MiB
  SeededRandom random(3);
  const Bytes noise = random.NextBytes(kPiece);
  const auto piece_number = [&](std::size_t i) {
    Bytes piece = noise;
    PutLittleEndian<std::uint64_t>(piece, 0, i);
    return piece;
  };
  ASSERT_OK_AND_ASSIGN(auto writer, store().StartPut(Key("large"), {}));
  for (std::size_t i = 0; i < kPieces; ++i) ASSERT_OK(writer->Append(piece_number(i)));
  ASSERT_OK_AND_ASSIGN(const auto put, writer->Commit());
  EXPECT_EQ(put.size_bytes, kPiece * kPieces);

  store::ObjectSource source(store(), Key("large"));
  Bytes out(kPiece);
  for (std::size_t i = 0; i < kPieces; ++i) {
    ASSERT_OK(ReadExactly(source, out));
    ASSERT_TRUE(out == piece_number(i)) << i;
  }
  ASSERT_OK_AND_ASSIGN(const std::size_t end, source.Read(out));
  EXPECT_EQ(end, 0U);
  ASSERT_OK_AND_ASSIGN(const auto head, store().Head(Key("large")));
  EXPECT_EQ(head.etag, put.etag);
}

class ObjectStorePowerLossTest : public ObjectStoreConformanceTest {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ObjectStorePowerLossTest);

TEST_P(ObjectStorePowerLossTest, WhatWasCommittedSurvivesAPowerLoss) {
  SeededRandom random(17);
  const std::string body(3000, 'x');
  const WallTime time{std::chrono::milliseconds(1'600'000'000'120)};
  for (int round = 0; round < 40; ++round) {
    const std::string key = "d" + std::to_string(round % 5) + "/" + std::to_string(round);
    const auto condition = round % 2 == 0 ? Condition::IfAbsent() : Condition::None();
    ASSERT_OK(store::PutObject(store(), Key(key), AsBytes(body),
                               {.condition = condition, .timestamp = time}));
    subject_->PowerLoss(random);
    ASSERT_EQ(Get(key), body) << "round " << round;
    ASSERT_EQ(store().Head(Key(key))->timestamp, time) << "round " << round;
  }
}

TEST_P(ObjectStorePowerLossTest, WhatWasNotCommittedIsWholeOrAbsentAfterAPowerLoss) {
  SeededRandom random(18);
  const std::string body(3000, 'x');
  for (int round = 0; round < 40; ++round) {
    ASSERT_OK(Put("k", "old"));
    {
      ASSERT_OK_AND_ASSIGN(auto writer, store().StartPut(Key("k"), {}));
      ASSERT_OK(writer->Append(AsBytes(body)));
      subject_->PowerLoss(random);
    }
    ASSERT_EQ(Get("k"), "old") << "round " << round;
    ASSERT_EQ(ListKeys(""), std::vector<std::string>{"k"});
    const std::vector<Key> batch = {Key("k")};
    ASSERT_OK(store().Delete(batch));
    subject_->PowerLoss(random);
    ASSERT_EQ(Get("k"), "not_found") << "a deletion came undone in round " << round;
  }
}

}  // namespace runnel::testing
