#include "testing/manual_directory_watcher.h"

#include <gtest/gtest.h>

#include <thread>

#include "testing/result_matchers.h"

namespace runnel::testing {
namespace {

using Kind = fs::WatchEventKind;
using Events = std::vector<fs::WatchEvent>;
constexpr std::chrono::milliseconds kNow{0};

TEST(ManualDirectoryWatcherTest, TellsWatchersWhatWasPosted) {
  ManualDirectoryWatcher watcher;
  watcher.Post("/a", Kind::kCreated, "unheard");
  ASSERT_OK_AND_ASSIGN(const fs::WatchId id, watcher.Add("/a"));
  watcher.Post("/a", Kind::kModified, "f");
  watcher.Post("/b", Kind::kModified, "unheard");
  watcher.PostOverflow();
  EXPECT_EQ(*watcher.Wait(kNow), (Events{{id, Kind::kModified, "f"}, {{}, Kind::kOverflow, ""}}));
  EXPECT_EQ(*watcher.Wait(kNow), Events{});
}

TEST(ManualDirectoryWatcherTest, CountsUsesAndForgetsWhatIsGone) {
  ManualDirectoryWatcher watcher;
  ASSERT_OK_AND_ASSIGN(const fs::WatchId id, watcher.Add("/a"));
  EXPECT_EQ(*watcher.Add("/a"), id);
  watcher.Remove(id);
  EXPECT_TRUE(watcher.IsWatched("/a"));
  watcher.Post("/a", Kind::kGone);
  EXPECT_FALSE(watcher.IsWatched("/a"));
  EXPECT_EQ(*watcher.Wait(kNow), (Events{{id, Kind::kGone, ""}}));
  EXPECT_NE(*watcher.Add("/a"), id);
}

TEST(ManualDirectoryWatcherTest, TellsOfNoModificationBetweenPauseAndResume) {
  ManualDirectoryWatcher watcher;
  ASSERT_OK_AND_ASSIGN(const fs::WatchId id, watcher.Add("/a"));
  watcher.PauseModified(id);
  watcher.Post("/a", Kind::kModified, "unheard");
  watcher.Post("/a", Kind::kDeleted, "f");
  watcher.ResumeModified(id);
  watcher.Post("/a", Kind::kModified, "g");
  EXPECT_EQ(*watcher.Wait(kNow), (Events{{id, Kind::kDeleted, "f"}, {id, Kind::kModified, "g"}}));
}

TEST(ManualDirectoryWatcherTest, CanRefuseAndBeInterrupted) {
  ManualDirectoryWatcher watcher;
  watcher.FailAdd("/a", Errc::kUnavailable);
  EXPECT_FAILS(Errc::kUnavailable, watcher.Add("/a"));
  watcher.FailAdd("/a", std::nullopt);
  EXPECT_OK(watcher.Add("/a"));
  std::jthread thread([&] { watcher.Interrupt(); });
  EXPECT_EQ(*watcher.Wait(std::nullopt), Events{});
}

}  // namespace
}  // namespace runnel::testing
