// What is special about files; the rest is in conformance_test.cc.

#include "store/file_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include "fs/file_operations.h"
#include "fs/posix_file_system.h"
#include "fs/temporary.h"
#include "runtime/system_clock.h"
#include "store/retrying_store.h"
#include "testing/fault_file_system.h"
#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"
#include "testing/temp_dir.h"

namespace runnel::store {
namespace {

using testing::FaultFileSystem;
using testing::FileCall;
using testing::FileCallRecord;
using testing::FileFault;
using testing::ManualClock;
using testing::MemoryFileSystem;
using testing::SeededRandom;

const ObjectKey kKey("db/ltx/0/k.ltx");
const std::string kBody(5000, 'x');

class FileStoreTest : public ::testing::Test {
 protected:
  Result<ObjectInfo> Put(const ObjectKey& key, std::string_view body,
                         PutCondition condition = PutCondition::None()) {
    return PutObject(store_, key, AsBytes(body),
                     {.condition = std::move(condition), .timestamp = std::nullopt});
  }
  std::vector<std::string> Names(const fs::Path& directory) {
    std::vector<std::string> names;
    auto entries = memory_.List(directory);
    if (!entries) return names;
    for (const auto& entry : *entries) names.push_back(entry.name);
    return names;
  }

  ManualClock clock_;
  SeededRandom random_{5};
  MemoryFileSystem memory_{clock_};
  FaultFileSystem files_{memory_};
  FileStoreOptions options_{.file = {.mode = 0640, .uid = 7, .gid = 8},
                            .directory = {.mode = 0750, .uid = 7, .gid = 8}};
  FileStore store_{files_, "/root", options_, clock_, random_};
};

TEST_F(FileStoreTest, GivesFilesAndDirectoriesTheirOwners) {
  ASSERT_OK(Put(kKey, "x"));
  ASSERT_OK_AND_ASSIGN(const fs::FileInfo file, memory_.Stat("/root/db/ltx/0/k.ltx"));
  EXPECT_EQ(file.ownership, options_.file);
  for (const char* directory : {"/root", "/root/db", "/root/db/ltx/0"}) {
    ASSERT_OK_AND_ASSIGN(const fs::FileInfo info, memory_.Stat(directory));
    EXPECT_EQ(info.ownership, options_.directory) << directory;
  }
}

TEST_F(FileStoreTest, AnObjectUnderwayHasANameThatReadersSkip) {
  ASSERT_OK_AND_ASSIGN(auto one, store_.StartPut(kKey, {}));
  ASSERT_OK_AND_ASSIGN(auto other, store_.StartPut(kKey, {}));
  const auto names = Names("/root/db/ltx/0");
  ASSERT_EQ(names.size(), 2U);
  for (const std::string& name : names) {
    EXPECT_TRUE(name.starts_with("k.ltx.")) << name;
    EXPECT_TRUE(name.ends_with(".tmp")) << name;
  }
  ASSERT_OK(one->Append(AsBytes("one")));
  ASSERT_OK(other->Append(AsBytes("other")));
  ASSERT_OK(other->Commit());
  ASSERT_OK(one->Commit());
  EXPECT_EQ(AsText(*ReadObject(store_, kKey, 100)), "one");
  EXPECT_EQ(Names("/root/db/ltx/0"), std::vector<std::string>{"k.ltx"});
}

TEST_F(FileStoreTest, TheTimeIsSetBeforeTheNameIs) {
  std::vector<FileCall> order;
  files_.CountOnly([&](const FileCallRecord& record) {
    order.push_back(record.call);
    return true;
  });
  const PutOptions options{.condition = PutCondition::IfAbsent(), .timestamp = WallTime()};
  ASSERT_OK(PutObject(store_, kKey, AsBytes("x"), options));
  const auto at = [&](FileCall call) { return std::ranges::find(order, call) - order.begin(); };
  EXPECT_LT(at(FileCall::kWrite), at(FileCall::kSetModified));
  EXPECT_LT(at(FileCall::kSetModified), at(FileCall::kSync));
  EXPECT_LT(at(FileCall::kSync), at(FileCall::kRenameNoReplace));
  EXPECT_EQ(order.back(), FileCall::kSyncDirectory);
}

TEST_F(FileStoreTest, AnyFailureOfAPutLeavesTheObjectWholeOrAbsent) {
  ASSERT_OK(Put(kKey, kBody, PutCondition::IfAbsent()));
  // The directory is known and synced now, as it is for all puts but the first.
  ASSERT_OK(store_.Delete({{kKey}}));
  files_.Heal();
  ASSERT_OK(Put(kKey, kBody, PutCondition::IfAbsent()));
  const std::uint64_t calls = files_.call_count();
  ASSERT_GE(calls, 5U);
  for (const auto effect :
       {FileFault::Effect::kNone, FileFault::Effect::kPartial, FileFault::Effect::kWhole}) {
    for (std::uint64_t n = 1; n <= calls; ++n) {
      ASSERT_OK(store_.Delete({{kKey}}));
      files_.FailAt(n, {.effect = effect});
      ASSERT_FAILS(Errc::kIo, Put(kKey, kBody, PutCondition::IfAbsent())) << files_.RecentCalls();
      files_.Heal();
      auto body = ReadObject(store_, kKey, 10'000);
      if (body) {
        ASSERT_EQ(AsText(*body), kBody) << n;
      } else {
        ASSERT_EQ(body.error().code(), Errc::kNotFound) << n;
        // An open that made the file and failed is nothing that we could remove.
        const std::size_t left_max = effect == FileFault::Effect::kWhole ? 1 : 0;
        ASSERT_LE(Names("/root/db/ltx/0").size(), left_max) << files_.RecentCalls();
        ASSERT_OK(fs::RemoveTemporaryFiles(memory_, "/root/db/ltx/0"));
      }
    }
  }
}

TEST_F(FileStoreTest, WhateverFailsARetriedPutIsDurableWhenItSaysSo) {
  for (int round = 0; round < 200; ++round) {
    MemoryFileSystem machine(clock_);
    FaultFileSystem faulty(machine);
    FileStore store(faulty, "/root", {}, clock_, random_);
    RetryingStore retrying(store, {}, clock_, random_);
    const auto n = 1 + static_cast<std::uint64_t>(round) % 20;
    const auto effect = round % 3 == 0   ? FileFault::Effect::kNone
                        : round % 3 == 1 ? FileFault::Effect::kPartial
                                         : FileFault::Effect::kWhole;
    faulty.FailAt(n, {.effect = effect});
    ASSERT_OK(PutObject(retrying, kKey, AsBytes(kBody), {.condition = PutCondition::IfAbsent()}))
        << "n=" << n << "\n"
        << faulty.RecentCalls();
    machine.PowerLoss(random_);
    FileStore after(machine, "/root", {}, clock_, random_);
    auto body = ReadObject(after, kKey, 10'000);
    ASSERT_OK(body) << "n=" << n << "\n" << faulty.RecentCalls();
    ASSERT_EQ(AsText(*body), kBody);
  }
}

TEST_F(FileStoreTest, ACrashAtAnyCallLeavesTheObjectWholeOrAbsent) {
  int absent = 0;
  int present = 0;
  for (int round = 0; round < 400; ++round) {
    MemoryFileSystem machine(clock_);
    FaultFileSystem faulty(machine);
    FileStore store(faulty, "/root", {}, clock_, random_);
    const auto n = 1 + static_cast<std::uint64_t>(round) % 20;
    faulty.FailAt(
        n, {.duration = FileFault::Duration::kFromThenOn, .effect = FileFault::Effect::kPartial});
    const bool committed = PutObject(store, kKey, AsBytes(kBody), {}).has_value();
    machine.PowerLoss(random_);
    FileStore after(machine, "/root", {}, clock_, random_);
    auto body = ReadObject(after, kKey, 10'000);
    if (body) {
      ++present;
      ASSERT_EQ(AsText(*body), kBody) << "n=" << n;
    } else {
      ++absent;
      ASSERT_EQ(body.error().code(), Errc::kNotFound) << body.error().message();
      ASSERT_FALSE(committed) << "lost, n=" << n;
    }
  }
  EXPECT_GT(absent, 0);
  EXPECT_GT(present, 0);
}

TEST_F(FileStoreTest, WhatIsInTheWayOfIfAbsentIsDurable) {
  for (int round = 0; round < 50; ++round) {
    MemoryFileSystem machine(clock_);
    FaultFileSystem faulty(machine);
    FileStore store(faulty, "/root", {}, clock_, random_);
    ASSERT_OK(PutObject(store, ObjectKey("d/other"), AsBytes("x"), {}));
    faulty.CountOnly([](const FileCallRecord& r) { return r.call == FileCall::kSyncDirectory; });
    faulty.FailAt(1);
    const PutOptions if_absent{.condition = PutCondition::IfAbsent(), .timestamp = std::nullopt};
    ASSERT_FAILS(Errc::kIo, PutObject(store, ObjectKey("d/k"), AsBytes(kBody), if_absent));
    ASSERT_FAILS(Errc::kAlreadyExists,
                 PutObject(store, ObjectKey("d/k"), AsBytes(kBody), if_absent));
    machine.PowerLoss(random_);
    FileStore after(machine, "/root", {}, clock_, random_);
    ASSERT_OK_AND_ASSIGN(const bool there, HasContent(after, ObjectKey("d/k"), AsBytes(kBody)));
    ASSERT_TRUE(there) << "round " << round;
  }
}

TEST_F(FileStoreTest, AFullDiskFailsThePutAndCleansUp) {
  ASSERT_OK(Put(kKey, "x"));
  memory_.SetCapacity(8192);
  EXPECT_FAILS(Errc::kNoSpace, Put(ObjectKey("db/ltx/0/large"), std::string(100'000, 'y')));
  EXPECT_EQ(Names("/root/db/ltx/0"), std::vector<std::string>{"k.ltx"});
  EXPECT_EQ(*memory_.FreeBytes("/"), 4096U);
}

TEST_F(FileStoreTest, ADirectoryThatVanishedIsMadeAgain) {
  ASSERT_OK(Put(kKey, "x"));
  ASSERT_OK(fs::RemoveTree(memory_, "/root"));
  EXPECT_OK(Put(kKey, "y"));
  ASSERT_OK_AND_ASSIGN(auto writer, store_.StartPut(kKey, {}));
  ASSERT_OK(fs::RemoveTree(memory_, "/root"));
  EXPECT_FAILS(Errc::kUnavailable, writer->Commit());
  EXPECT_OK(Put(kKey, "z"));
}

TEST_F(FileStoreTest, SweepsWhatDeadWritersLeft) {
  ASSERT_OK(Put(kKey, "x"));
  {
    ASSERT_OK_AND_ASSIGN(auto writer, store_.StartPut(kKey, {}));
    memory_.ProcessDies();
    files_.FailAt(1);  // a dead process removes nothing
  }
  files_.Heal();
  ASSERT_OK(fs::ReplaceFile(memory_, "/root/db/ltx/0/litestreams.ltx.tmp", {}, {.mode = 0600}));
  clock_.Advance(std::chrono::hours(1));
  const WallTime an_hour_later = clock_.Now();
  ASSERT_OK_AND_ASSIGN(auto living, store_.StartPut(kKey, {}));
  ASSERT_OK_AND_ASSIGN(const std::size_t count, store_.SweepUnfinished("db/ltx/0/", an_hour_later));
  EXPECT_EQ(count, 1U);
  EXPECT_OK(memory_.Stat("/root/db/ltx/0/litestreams.ltx.tmp"));
  EXPECT_OK(living->Commit());
  EXPECT_EQ(*store_.SweepUnfinished("none/", an_hour_later), 0U);
}

TEST_F(FileStoreTest, AWriterThatWasSweptFailsAndCanBeRetried) {
  ASSERT_OK_AND_ASSIGN(auto writer, store_.StartPut(kKey, {}));
  ASSERT_OK(writer->Append(AsBytes("x")));
  clock_.Advance(std::chrono::hours(1));
  ASSERT_OK_AND_ASSIGN(const std::size_t count, store_.SweepUnfinished("db/ltx/0/", clock_.Now()));
  EXPECT_EQ(count, 1U);
  EXPECT_FAILS(Errc::kUnavailable, writer->Commit());
  EXPECT_FAILS(Errc::kNotFound, store_.Head(kKey));
}

TEST_F(FileStoreTest, AListingReadsOnlyDirectoriesThatCanHoldThePrefix) {
  for (const char* key : {"a/0/x", "a/0/y", "a/1/x", "b/0/x", "c"}) {
    ASSERT_OK(Put(ObjectKey(key), "x"));
  }
  const auto directories_read = [&](const std::string& prefix, const char* start_after) {
    files_.CountOnly([](const FileCallRecord& r) { return r.call == FileCall::kList; });
    files_.Heal();
    std::optional<ObjectKey> after;
    if (start_after != nullptr) after = ObjectKey(start_after);
    EXPECT_OK(store_.List(prefix, after, 100));
    return files_.call_count();
  };
  EXPECT_EQ(directories_read("a/0/", nullptr), 1U);
  EXPECT_EQ(directories_read("a/", nullptr), 3U);
  EXPECT_EQ(directories_read("a/1", nullptr), 2U);
  EXPECT_EQ(directories_read("", nullptr), 6U);
  EXPECT_EQ(directories_read("", "a/1/x"), 5U);  // all but a/0
  EXPECT_EQ(directories_read("", "c"), 1U);
  EXPECT_EQ(directories_read("nowhere/", nullptr), 1U);
}

TEST_F(FileStoreTest, ANameCannotBeAnObjectAndADirectory) {
  ASSERT_OK(Put(ObjectKey("a/b"), "x"));
  EXPECT_FAILS(Errc::kInvalidArgument, Put(ObjectKey("a"), "x"));
  EXPECT_FAILS(Errc::kInvalidArgument, Put(ObjectKey("a"), "x", PutCondition::IfAbsent()));
  EXPECT_FAILS(Errc::kInvalidArgument, Put(ObjectKey("a/b/c"), "x"));
  EXPECT_EQ(Names("/root"), std::vector<std::string>{"a"});
}

TEST_F(FileStoreTest, ReservedNamesAreRefusedAndNotListed) {
  EXPECT_FAILS(Errc::kInvalidArgument, Put(ObjectKey("a/b.tmp"), "x"));
  EXPECT_FAILS(Errc::kInvalidArgument, Put(ObjectKey(".k.lock"), "x"));
  ASSERT_OK_AND_ASSIGN(const ObjectInfo first, Put(ObjectKey("k"), "x"));
  ASSERT_OK(Put(ObjectKey("k"), "y", PutCondition::IfMatch(first.etag)));
  EXPECT_EQ(Names("/root"), (std::vector<std::string>{".k.lock", "k"}));
  ASSERT_OK_AND_ASSIGN(const auto objects, ListAll(store_, ""));
  EXPECT_EQ(objects.size(), 1U);
}

TEST_F(FileStoreTest, LongNamesWorkWithEveryCondition) {
  const ObjectKey key(std::string(255, 'n'));
  ASSERT_OK_AND_ASSIGN(const ObjectInfo first, Put(key, "1", PutCondition::IfAbsent()));
  ASSERT_OK(Put(key, "2", PutCondition::IfMatch(first.etag)));
  EXPECT_FAILS(Errc::kInvalidArgument, Put(ObjectKey(std::string(256, 'n')), "x"));
}

TEST_F(FileStoreTest, ALockThatStaysHeldIsBusyAndNotWaitedForForever) {
  ASSERT_OK_AND_ASSIGN(const ObjectInfo first, Put(ObjectKey("k"), "x"));
  ASSERT_OK_AND_ASSIGN(auto lock, memory_.Lock("/root/.k.lock", {}));
  EXPECT_FAILS(Errc::kBusy, Put(ObjectKey("k"), "y", PutCondition::IfMatch(first.etag)));
  lock.reset();
  EXPECT_OK(Put(ObjectKey("k"), "y", PutCondition::IfMatch(first.etag)));
}

// Two stores on one directory behave as two processes do: locks know no owner but the open file.
TEST(FileStoreProcessesTest, OfSwapsThroughSeveralStoresOneWins) {
  testing::TempDir dir;
  fs::PosixFileSystem files;
  runtime::SystemClock clock;
  SeededRandom random(6);
  constexpr int kStores = 4;
  std::vector<std::unique_ptr<FileStore>> stores;
  for (int i = 0; i < kStores; ++i) {
    stores.push_back(
        std::make_unique<FileStore>(files, dir.path(), FileStoreOptions{}, clock, random));
  }
  const ObjectKey key("claim.json");
  ASSERT_OK_AND_ASSIGN(auto current, PutObject(*stores[0], key, AsBytes("start"), {}));
  for (int round = 0; round < 10; ++round) {
    std::latch start(kStores);
    std::atomic<int> winners = 0;
    std::atomic<int> losers = 0;
    std::vector<std::jthread> threads;
    for (int i = 0; i < kStores; ++i) {
      threads.emplace_back([&, i] {
        const std::string body = std::to_string(round) + "/" + std::to_string(i);
        start.arrive_and_wait();
        auto put = PutObject(*stores[static_cast<std::size_t>(i)], key, AsBytes(body),
                             {.condition = PutCondition::IfMatch(current.etag)});
        if (put) ++winners;
        if (!put && put.error().code() == Errc::kPreconditionFailed) ++losers;
      });
    }
    threads.clear();
    ASSERT_EQ(winners, 1) << round;
    ASSERT_EQ(losers, kStores - 1) << round;
    ASSERT_OK_AND_ASSIGN(current, stores[0]->Head(key));
  }
}

}  // namespace
}  // namespace runnel::store
