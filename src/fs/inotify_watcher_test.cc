#include "fs/inotify_watcher.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "testing/result_matchers.h"
#include "testing/temp_dir.h"

namespace runnel::fs {
namespace {

using Kind = WatchEventKind;
using std::chrono::milliseconds;

class InotifyWatcherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto watcher = InotifyWatcher::Make();
    ASSERT_OK(watcher);
    watcher_ = *std::move(watcher);
  }

  Path At(std::string_view name) { return dir_.path() / name; }

  WatchId Add(const Path& directory) {
    auto id = watcher_->Add(directory);
    EXPECT_OK(id);
    return id ? *id : WatchId{};
  }

  // All that is queued: the kernel queues an event before the call that caused it returns.
  std::vector<WatchEvent> Drain() {
    auto events = watcher_->Wait(milliseconds(0));
    EXPECT_OK(events);
    return events ? *events : std::vector<WatchEvent>{};
  }

  testing::TempDir dir_;
  std::unique_ptr<InotifyWatcher> watcher_;
};

TEST_F(InotifyWatcherTest, TellsWhatHappenedInOrder) {
  const WatchId id = Add(dir_.path());
  const int fd = ::open(At("f").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  ASSERT_EQ(::write(fd, "x", 1), 1);
  ASSERT_EQ(::ftruncate(fd, 0), 0);
  ::close(fd);
  ASSERT_EQ(::chmod(At("f").c_str(), 0640), 0);
  ASSERT_EQ(::rename(At("f").c_str(), At("g").c_str()), 0);
  ASSERT_EQ(::unlink(At("g").c_str()), 0);
  EXPECT_EQ(Drain(), (std::vector<WatchEvent>{{id, Kind::kCreated, "f"},
                                              {id, Kind::kModified, "f"},
                                              {id, Kind::kAttribute, "f"},
                                              {id, Kind::kMovedOut, "f"},
                                              {id, Kind::kMovedIn, "g"},
                                              {id, Kind::kDeleted, "g"}}));
  EXPECT_EQ(Drain(), std::vector<WatchEvent>{});
}

TEST_F(InotifyWatcherTest, ManyWritesInARowAreOneEvent) {
  const WatchId id = Add(dir_.path());
  const int fd = ::open(At("f").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(::write(fd, "x", 1), 1);
  ::close(fd);
  EXPECT_EQ(Drain(),
            (std::vector<WatchEvent>{{id, Kind::kCreated, "f"}, {id, Kind::kModified, "f"}}));
}

TEST_F(InotifyWatcherTest, ADirectoryHasOneIdUnderAllItsPaths) {
  ASSERT_EQ(::mkdir(At("d").c_str(), 0700), 0);
  ASSERT_EQ(::symlink("d", At("link").c_str()), 0);
  const WatchId id = Add(At("d"));
  EXPECT_EQ(Add(At("link")), id);
  watcher_->Remove(id);
  std::ofstream(At("d/f")).close();
  EXPECT_EQ(Drain(), (std::vector<WatchEvent>{{id, Kind::kCreated, "f"}}));
  watcher_->Remove(id);
  std::ofstream(At("d/g")).close();
  EXPECT_EQ(Drain(), std::vector<WatchEvent>{});
}

TEST_F(InotifyWatcherTest, EventsOfARemovedWatchAreDroppedAlsoIfQueued) {
  const WatchId id = Add(dir_.path());
  std::ofstream(At("f")).close();
  watcher_->Remove(id);
  EXPECT_EQ(Drain(), std::vector<WatchEvent>{});
  const WatchId again = Add(dir_.path());
  EXPECT_NE(again, id);
  watcher_->Remove(id);  // of old: must not end the new one
  std::ofstream(At("g")).close();
  EXPECT_EQ(Drain(), (std::vector<WatchEvent>{{again, Kind::kCreated, "g"}}));
}

TEST_F(InotifyWatcherTest, ADirectoryThatIsDeletedOrMovedIsGone) {
  ASSERT_EQ(::mkdir(At("deleted").c_str(), 0700), 0);
  ASSERT_EQ(::mkdir(At("moved").c_str(), 0700), 0);
  const WatchId deleted = Add(At("deleted"));
  const WatchId moved = Add(At("moved"));
  ASSERT_EQ(::rmdir(At("deleted").c_str()), 0);
  ASSERT_EQ(::rename(At("moved").c_str(), At("elsewhere").c_str()), 0);
  EXPECT_EQ(Drain(),
            (std::vector<WatchEvent>{{deleted, Kind::kGone, ""}, {moved, Kind::kGone, ""}}));
  std::ofstream(At("elsewhere/f")).close();
  EXPECT_EQ(Drain(), std::vector<WatchEvent>{});
  watcher_->Remove(deleted);
  const WatchId again = Add(At("elsewhere"));
  EXPECT_NE(again, moved);
  std::ofstream(At("elsewhere/g")).close();
  EXPECT_EQ(Drain(), (std::vector<WatchEvent>{{again, Kind::kCreated, "g"}}));
}

TEST_F(InotifyWatcherTest, TellsOfNoModificationBetweenPauseAndResume) {
  const WatchId id = Add(dir_.path());
  const int fd = ::open(At("f").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  Drain();
  watcher_->PauseModified(id);
  ASSERT_EQ(::write(fd, "x", 1), 1);
  ASSERT_EQ(::rename(At("f").c_str(), At("g").c_str()), 0);
  EXPECT_EQ(Drain(),
            (std::vector<WatchEvent>{{id, Kind::kMovedOut, "f"}, {id, Kind::kMovedIn, "g"}}));
  watcher_->ResumeModified(id);
  ASSERT_EQ(::write(fd, "x", 1), 1);
  ::close(fd);
  EXPECT_EQ(Drain(), (std::vector<WatchEvent>{{id, Kind::kModified, "g"}}));
}

// The folder above it was moved: nothing is told of that, but its path leads nowhere.
TEST_F(InotifyWatcherTest, ADirectoryThatCannotBeFoundAgainToResumeIsGone) {
  std::filesystem::create_directories(At("above/watched"));
  const WatchId id = Add(At("above/watched"));
  watcher_->PauseModified(id);
  ASSERT_EQ(::rename(At("above").c_str(), At("elsewhere").c_str()), 0);
  EXPECT_EQ(Drain(), std::vector<WatchEvent>{});
  watcher_->ResumeModified(id);
  EXPECT_EQ(Drain(), (std::vector<WatchEvent>{{id, Kind::kGone, ""}}));
  EXPECT_NE(Add(At("elsewhere/watched")), id);
}

// A path that leads to another watched directory does not take that one's modifications away.
TEST_F(InotifyWatcherTest, ADirectoryInTheOldPlaceOfAnotherIsToldOfAsBefore) {
  std::filesystem::create_directories(At("above/watched"));
  std::filesystem::create_directories(At("other/watched"));
  const WatchId first = Add(At("above/watched"));
  const WatchId second = Add(At("other/watched"));
  ASSERT_EQ(::rename(At("above").c_str(), At("elsewhere").c_str()), 0);
  ASSERT_EQ(::rename(At("other").c_str(), At("above").c_str()), 0);
  watcher_->PauseModified(first);
  EXPECT_EQ(Drain(), (std::vector<WatchEvent>{{first, Kind::kGone, ""}}));
  std::ofstream(At("above/watched/f")) << "x" << std::flush;
  EXPECT_EQ(Drain(), (std::vector<WatchEvent>{{second, Kind::kCreated, "f"},
                                              {second, Kind::kModified, "f"}}));
}

TEST_F(InotifyWatcherTest, OnlyDirectoriesThatAreThereCanBeWatched) {
  EXPECT_FAILS(Errc::kNotFound, watcher_->Add(At("none")));
  std::ofstream(At("file")).close();
  EXPECT_FAILS(Errc::kNotFound, watcher_->Add(At("file")));
}

TEST_F(InotifyWatcherTest, TellsWhenTheQueueRanOver) {
  Add(dir_.path());
  std::ifstream setting("/proc/sys/fs/inotify/max_queued_events");
  int queue_max = 0;
  ASSERT_TRUE(setting >> queue_max);
  if (queue_max > 100'000) GTEST_SKIP() << "the queue takes " << queue_max << " events";
  const int a = ::open(At("a").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  const int b = ::open(At("b").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  for (int i = 0; i <= queue_max; ++i) ASSERT_EQ(::write(i % 2 == 0 ? a : b, "x", 1), 1);
  ::close(a);
  ::close(b);
  bool overflow = false;
  for (auto events = Drain(); !events.empty(); events = Drain()) {
    for (const WatchEvent& event : events) overflow = overflow || event.kind == Kind::kOverflow;
  }
  EXPECT_TRUE(overflow);
}

TEST_F(InotifyWatcherTest, WaitEndsAtAnEventAtAnInterruptAndAtItsTimeout) {
  Add(dir_.path());
  watcher_->Interrupt();
  EXPECT_EQ(*watcher_->Wait(std::nullopt), std::vector<WatchEvent>{});
  EXPECT_EQ(*watcher_->Wait(milliseconds(1)), std::vector<WatchEvent>{});

  std::jthread interrupter([&] { watcher_->Interrupt(); });
  EXPECT_EQ(*watcher_->Wait(std::nullopt), std::vector<WatchEvent>{});
  interrupter.join();

  std::jthread writer([&] { std::ofstream(At("f")).close(); });
  EXPECT_EQ(watcher_->Wait(std::nullopt)->size(), 1U);
}

TEST_F(InotifyWatcherTest, HundredsOfDirectoriesTakeNoMoreDescriptors) {
  const auto open_descriptors = [] {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      (void)entry;
      ++count;
    }
    return count;
  };
  const int before = open_descriptors();
  constexpr int kDirectories = 300;
  for (int i = 0; i < kDirectories; ++i) {
    const Path directory = At("d" + std::to_string(i));
    ASSERT_EQ(::mkdir(directory.c_str(), 0700), 0);
    Add(directory);
  }
  EXPECT_EQ(open_descriptors(), before);
  const WatchId last = Add(At("d299"));
  std::ofstream(At("d299/f")).close();
  EXPECT_EQ(Drain(), (std::vector<WatchEvent>{{last, Kind::kCreated, "f"}}));
}

}  // namespace
}  // namespace runnel::fs
