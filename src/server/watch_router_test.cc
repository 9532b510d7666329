#include "server/watch_router.h"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <vector>

#include "testing/capturing_logger.h"
#include "testing/manual_clock.h"
#include "testing/manual_directory_watcher.h"

namespace runnel::server {
namespace {

using fs::WatchEventKind;

// What a database was told, in order: 'w' for written, 'm' for moved. The router tells on its own
// thread.
class Told {
 public:
  WatchTarget Target() {
    return {.written = [this] { Add('w'); }, .moved = [this] { Add('m'); }};
  }

  // Waits until it was told `count` things more than at the last call; what they were.
  std::string Next(std::size_t count) {
    std::unique_lock lock(mutex_);
    const auto enough = [&] { return text_.size() >= seen_ + count; };
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20), enough));
    std::string next = text_.substr(seen_);
    seen_ = text_.size();
    return next;
  }

 private:
  void Add(char what) {
    const std::lock_guard lock(mutex_);
    text_ += what;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
  std::size_t seen_ = 0;
};

class WatchRouterTest : public ::testing::Test {
 protected:
  ~WatchRouterTest() override {
    for (const fs::Path& path : added_) router_.Remove(path);
  }

  void Add(const fs::Path& path, Told& told) {
    router_.Add(path, told.Target());
    added_.push_back(path);
  }

  // Told in order: when this was, so was everything before it.
  void ExpectNothingBefore(const fs::Path& directory, Told& told) {
    watcher_.Post(directory, WatchEventKind::kModified, last_name_);
    EXPECT_EQ(told.Next(1), "w");
  }

  testing::ManualClock clock_;
  testing::CapturingLogger log_;
  testing::ManualDirectoryWatcher watcher_;
  std::string last_name_ = "a.db";
  std::vector<fs::Path> added_;
  WatchRouter router_{watcher_, clock_, log_};
};

TEST_F(WatchRouterTest, ADatabaseIsToldOfWritesToItselfAndItsWal) {
  Told a;
  Add("/d/a.db", a);
  watcher_.Post("/d", WatchEventKind::kModified, "a.db");
  EXPECT_EQ(a.Next(1), "w");
  watcher_.Post("/d", WatchEventKind::kModified, "a.db-wal");
  EXPECT_EQ(a.Next(1), "w");
}

TEST_F(WatchRouterTest, FilesThatAreMadeRemovedOrRenamedAreMovedAndWritten) {
  Told a;
  Add("/d/a.db", a);
  for (const auto kind : {WatchEventKind::kCreated, WatchEventKind::kDeleted,
                          WatchEventKind::kMovedIn, WatchEventKind::kMovedOut}) {
    for (const char* name : {"a.db", "a.db-wal", "a.db-shm"}) {
      watcher_.Post("/d", kind, name);
      EXPECT_EQ(a.Next(2), "mw") << fs::WatchEventKindName(kind) << " " << name;
    }
  }
}

TEST_F(WatchRouterTest, WhatMeansNothingIsNotTold) {
  Told a;
  Add("/d/a.db", a);
  watcher_.Post("/d", WatchEventKind::kModified, "a.db-shm");
  watcher_.Post("/d", WatchEventKind::kAttribute, "a.db");
  watcher_.Post("/d", WatchEventKind::kModified, "other.db");
  watcher_.Post("/d", WatchEventKind::kCreated, "a.db-journal");
  watcher_.Post("/d", WatchEventKind::kModified, "a.db.backup-wal");
  ExpectNothingBefore("/d", a);
}

TEST_F(WatchRouterTest, DatabasesOfOneFolderShareItsWatchAndKeepItWhileOneIsLeft) {
  Told a;
  Told b;
  Add("/d/a.db", a);
  Add("/d/b.db", b);
  watcher_.Post("/d", WatchEventKind::kModified, "b.db-wal");
  EXPECT_EQ(b.Next(1), "w");
  router_.Remove("/d/b.db");
  EXPECT_TRUE(watcher_.IsWatched("/d"));
  watcher_.Post("/d", WatchEventKind::kModified, "b.db");
  ExpectNothingBefore("/d", a);
  EXPECT_EQ(b.Next(0), "");
  router_.Remove("/d/a.db");
  EXPECT_FALSE(watcher_.IsWatched("/d"));
}

TEST_F(WatchRouterTest, ADatabaseMayItselfEndLikeAWal) {
  Told odd;
  last_name_ = "odd-wal";
  Add("/d/odd-wal", odd);
  watcher_.Post("/d", WatchEventKind::kModified, "odd-wal");
  EXPECT_EQ(odd.Next(1), "w");
  watcher_.Post("/d", WatchEventKind::kModified, "odd-wal-wal");
  EXPECT_EQ(odd.Next(1), "w");
}

TEST_F(WatchRouterTest, LostEventsAreForEverybody) {
  Told a;
  Told b;
  Add("/d/a.db", a);
  Add("/e/b.db", b);
  watcher_.PostOverflow();
  EXPECT_EQ(a.Next(2), "mw");
  EXPECT_EQ(b.Next(2), "mw");
}

TEST_F(WatchRouterTest, AFolderThatIsGoneIsWatchedAgainOnceItIsThere) {
  Told a;
  Add("/d/a.db", a);
  watcher_.FailAdd("/d", Errc::kNotFound);
  watcher_.Post("/d", WatchEventKind::kGone);
  EXPECT_EQ(a.Next(2), "mw");
  EXPECT_FALSE(watcher_.IsWatched("/d"));
  watcher_.FailAdd("/d", std::nullopt);
  EXPECT_EQ(a.Next(2), "mw") << "it may have been written meanwhile";
  EXPECT_TRUE(watcher_.IsWatched("/d"));
  EXPECT_FALSE(log_.Contains("cannot watch"));
}

TEST_F(WatchRouterTest, AFolderThatIsNotThereYetIsLookedForUntilItIs) {
  Told a;
  watcher_.FailAdd("/d", Errc::kNotFound);
  Add("/d/a.db", a);
  watcher_.FailAdd("/d", std::nullopt);
  EXPECT_EQ(a.Next(2), "mw");
}

TEST_F(WatchRouterTest, AFolderThatCannotBeWatchedIsReported) {
  Told a;
  watcher_.FailAdd("/d", Errc::kUnavailable);
  Add("/d/a.db", a);
  EXPECT_TRUE(log_.Contains("cannot watch a directory", LogLevel::kWarn));
  EXPECT_TRUE(log_.Contains("/d"));
}

TEST_F(WatchRouterTest, AFollowedDirectoryTellsOfWhatBelongsToNoDatabase) {
  Told database;
  Told directory;
  const auto target = directory.Target();
  Add("/d/a.db", database);
  router_.Follow("/d", target.moved);
  watcher_.Post("/d", WatchEventKind::kCreated, "b.db");
  watcher_.Post("/d", WatchEventKind::kModified, "b.db");
  watcher_.Post("/d", WatchEventKind::kDeleted, "a.db");
  EXPECT_EQ(directory.Next(3), "mmm");
  // Not of these.
  watcher_.Post("/d", WatchEventKind::kModified, "a.db");
  watcher_.Post("/d", WatchEventKind::kCreated, "b.db-wal");
  watcher_.Post("/d", WatchEventKind::kDeleted, "a.db-shm");
  watcher_.Post("/d", WatchEventKind::kAttribute, "b.db");
  watcher_.Post("/d", WatchEventKind::kCreated, "c.db");
  EXPECT_EQ(directory.Next(1), "m");
  watcher_.PostOverflow();
  EXPECT_EQ(directory.Next(1), "m");
  router_.Unfollow("/d");
  EXPECT_TRUE(watcher_.IsWatched("/d")) << "for the database";
  router_.Follow("/e", target.moved);
  EXPECT_TRUE(watcher_.IsWatched("/e"));
  router_.Unfollow("/e");
  EXPECT_FALSE(watcher_.IsWatched("/e"));
}

}  // namespace
}  // namespace runnel::server
