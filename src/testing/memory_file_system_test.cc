#include "testing/memory_file_system.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>

#include "fs/file_operations.h"
#include "testing/manual_clock.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"

namespace runnel::testing {
namespace {

using fs::OpenMode;

// One machine from start to power loss.
class Machine {
 public:
  void Write(const fs::Path& path, std::string_view text) {
    auto file = files.Open(path, OpenMode::kCreate);
    RUNNEL_CHECK(file && (*file)->Truncate(0) && (*file)->WriteAt(0, AsBytes(text)));
  }
  void WriteSynced(const fs::Path& path, std::string_view text) {
    Write(path, text);
    auto file = files.Open(path, OpenMode::kReadWrite);
    RUNNEL_CHECK(file && (*file)->Sync());
  }
  void SyncDirectory(const fs::Path& path) { RUNNEL_CHECK(files.SyncDirectory(path).has_value()); }
  void Rename(const fs::Path& from, const fs::Path& to) {
    RUNNEL_CHECK(files.Rename(from, to).has_value());
  }
  void MakeDirectory(const fs::Path& path) {
    RUNNEL_CHECK(files.CreateDirectories(path, {.mode = 0700}).has_value());
  }

  std::string Read(const fs::Path& path) {
    auto content = fs::ReadFile(files, path, 100'000);
    if (content) return std::string(AsText(*content));
    return content.error().code() == Errc::kNotFound ? "absent" : content.error().message();
  }

  ManualClock clock;
  MemoryFileSystem files{clock};
};

// Every state that `observe` sees after power losses at the end of `act`.
std::set<std::string> Outcomes(const std::function<void(Machine&)>& act,
                               const std::function<std::string(Machine&)>& observe) {
  SeededRandom random(11);
  std::set<std::string> outcomes;
  for (int round = 0; round < 300; ++round) {
    Machine machine;
    act(machine);
    machine.files.PowerLoss(random);
    outcomes.insert(observe(machine));
  }
  return outcomes;
}

std::function<std::string(Machine&)> ContentOf(std::string path) {
  return [path = std::move(path)](Machine& m) { return m.Read(path); };
}

using Set = std::set<std::string>;

TEST(MemoryFileSystemTest, ASyncedFileWithASyncedNameSurvives) {
  const auto act = [](Machine& m) {
    m.WriteSynced("/f", "content");
    m.SyncDirectory("/");
  };
  EXPECT_EQ(Outcomes(act, ContentOf("/f")), Set{"content"});
}

TEST(MemoryFileSystemTest, ASyncedFileWithoutASyncedNameMayBeGone) {
  const auto act = [](Machine& m) { m.WriteSynced("/f", "content"); };
  EXPECT_EQ(Outcomes(act, ContentOf("/f")), (Set{"absent", "content"}));
}

TEST(MemoryFileSystemTest, ASyncedNameDoesNotBringTheContent) {
  const auto act = [](Machine& m) {
    m.Write("/f", "content");
    m.SyncDirectory("/");
  };
  EXPECT_EQ(Outcomes(act, ContentOf("/f")), (Set{"", std::string(7, '\0'), "content"}));
}

TEST(MemoryFileSystemTest, AReplacingRenameIsNeverHalfDone) {
  const auto act = [](Machine& m) {
    m.WriteSynced("/f", "old");
    m.SyncDirectory("/");
    m.WriteSynced("/f.tmp", "new");
    m.Rename("/f.tmp", "/f");
  };
  EXPECT_EQ(Outcomes(act, ContentOf("/f")), (Set{"new", "old"}));
  const auto both = [](Machine& m) { return m.Read("/f") + " " + m.Read("/f.tmp"); };
  EXPECT_EQ(Outcomes(act, both), (Set{"new absent", "old absent", "old new"}));
}

TEST(MemoryFileSystemTest, ARenameWithoutASyncOfTheContentMayPublishNothing) {
  const auto act = [](Machine& m) {
    m.Write("/f.tmp", "new");
    m.Rename("/f.tmp", "/f");
    m.SyncDirectory("/");
  };
  EXPECT_TRUE(Outcomes(act, ContentOf("/f")).contains(""));
}

TEST(MemoryFileSystemTest, ReplaceFileIsOldOrNewAtEveryMoment) {
  const auto replace = [](Machine& m, std::string_view text) {
    RUNNEL_CHECK(fs::ReplaceFile(m.files, "/d/f", AsBytes(text), {.mode = 0600}).has_value());
  };
  const auto act = [&](Machine& m) {
    m.MakeDirectory("/d");
    m.SyncDirectory("/");
    replace(m, std::string(3000, 'o'));
    replace(m, std::string(2000, 'n'));
  };
  EXPECT_EQ(Outcomes(act, ContentOf("/d/f")), Set{std::string(2000, 'n')});
}

TEST(MemoryFileSystemTest, RemovalsAndCreationsAreLostIndependently) {
  const auto act = [](Machine& m) {
    m.WriteSynced("/old", "1");
    m.SyncDirectory("/");
    m.WriteSynced("/new", "2");
    RUNNEL_CHECK(m.files.Remove("/old").has_value());
  };
  const auto observe = [](Machine& m) { return m.Read("/old") + " " + m.Read("/new"); };
  EXPECT_EQ(Outcomes(act, observe), (Set{"1 2", "1 absent", "absent 2", "absent absent"}));
}

TEST(MemoryFileSystemTest, ADirectoryWhoseNameIsLostTakesItsFilesAlong) {
  const auto act = [](Machine& m) {
    m.MakeDirectory("/a/b");
    m.WriteSynced("/a/b/f", "x");
    m.SyncDirectory("/a/b");
    m.SyncDirectory("/a");
  };
  EXPECT_EQ(Outcomes(act, ContentOf("/a/b/f")), (Set{"absent", "x"}));
  const auto durable = [&](Machine& m) {
    RUNNEL_CHECK(
        fs::CreateDirectoriesDurably(m.files, "/a/b", "/a/b/c", {.mode = 0700}).has_value());
    m.WriteSynced("/a/b/c/f", "x");
    m.SyncDirectory("/a/b/c");
  };
  EXPECT_EQ(Outcomes(durable, ContentOf("/a/b/c/f")), Set{"x"});
}

TEST(MemoryFileSystemTest, ADirectoryThatAnotherProcessIsStillMakingIsMadeDurable) {
  const auto act = [](Machine& m) {
    m.MakeDirectory("/top");
    m.SyncDirectory("/");
    m.MakeDirectory("/top/a/b");  // by the other process, which has not come to syncing
    RUNNEL_CHECK(
        fs::CreateDirectoriesDurably(m.files, "/top", "/top/a/b", {.mode = 0700}).has_value());
    m.WriteSynced("/top/a/b/f", "x");
    m.SyncDirectory("/top/a/b");
  };
  EXPECT_EQ(Outcomes(act, ContentOf("/top/a/b/f")), Set{"x"});
}

TEST(MemoryFileSystemTest, ARenameBetweenDirectoriesNeedsBothSynced) {
  const auto start = [](Machine& m) {
    m.MakeDirectory("/a");
    m.MakeDirectory("/b");
    m.WriteSynced("/a/f", "x");
    m.SyncDirectory("/");
    m.SyncDirectory("/a");
    m.Rename("/a/f", "/b/f");
  };
  const auto observe = [](Machine& m) { return m.Read("/a/f") + " " + m.Read("/b/f"); };
  const Set either{"absent x", "x absent"};
  EXPECT_EQ(Outcomes(start, observe), either);
  EXPECT_EQ(Outcomes([&](Machine& m) { start(m), m.SyncDirectory("/a"); }, observe), either);
  EXPECT_EQ(Outcomes([&](Machine& m) { start(m), m.SyncDirectory("/b"); }, observe), either);
  const auto synced = [&](Machine& m) {
    start(m);
    m.SyncDirectory("/b");
    m.SyncDirectory("/a");
  };
  EXPECT_EQ(Outcomes(synced, observe), Set{"absent x"});
}

TEST(MemoryFileSystemTest, AFileMovedTwiceIsInOnePlace) {
  const auto act = [](Machine& m) {
    m.WriteSynced("/a", "x");
    m.SyncDirectory("/");
    m.Rename("/a", "/b");
    m.Rename("/b", "/c");
  };
  const auto observe = [](Machine& m) {
    return m.Read("/a") + " " + m.Read("/b") + " " + m.Read("/c");
  };
  EXPECT_EQ(Outcomes(act, observe), (Set{"absent absent x", "absent x absent", "x absent absent"}));
}

TEST(MemoryFileSystemTest, ASyncedMoveKeepsTheMovesBeforeIt) {
  const auto act = [](Machine& m) {
    m.MakeDirectory("/d");
    m.MakeDirectory("/e");
    m.SyncDirectory("/");
    m.WriteSynced("/d/a", "x");
    m.SyncDirectory("/d");
    m.Rename("/d/a", "/e/b");  // half synced below
    m.Rename("/e/b", "/e/c");
    m.SyncDirectory("/e");
  };
  const auto observe = [](Machine& m) { return m.Read("/d/a") + " " + m.Read("/e/c"); };
  EXPECT_EQ(Outcomes(act, observe), Set{"absent x"});
}

TEST(MemoryFileSystemTest, TimesSurviveWithTheFilesSync) {
  const WallTime set{std::chrono::milliseconds(1'500'000'000'000)};
  const auto seconds = [](Machine& m) {
    return std::to_string(m.files.Stat("/f")->modified.time_since_epoch().count() / 1000);
  };
  const auto before_sync = [&](Machine& m) {
    m.Write("/f", "x");
    RUNNEL_CHECK(m.files.SetModified("/f", set).has_value());
    RUNNEL_CHECK((*m.files.Open("/f", OpenMode::kReadWrite))->Sync().has_value());
    m.SyncDirectory("/");
  };
  EXPECT_EQ(Outcomes(before_sync, seconds), Set{"1500000000"});
  const auto after_sync = [&](Machine& m) {
    m.WriteSynced("/f", "x");
    m.SyncDirectory("/");
    RUNNEL_CHECK(m.files.SetModified("/f", set).has_value());
  };
  EXPECT_EQ(Outcomes(after_sync, seconds), (Set{"1500000000", "1767225600"}));
}

TEST(MemoryFileSystemTest, ARemovedFileWhoseNameComesBackHasItsContent) {
  const auto act = [](Machine& m) {
    m.WriteSynced("/f", "x");
    m.SyncDirectory("/");
    RUNNEL_CHECK(m.files.Remove("/f").has_value());
  };
  EXPECT_EQ(Outcomes(act, ContentOf("/f")), (Set{"absent", "x"}));
}

TEST(MemoryFileSystemTest, SyncEverythingLeavesNothingToLose) {
  const auto act = [](Machine& m) {
    m.MakeDirectory("/d");
    m.Write("/d/f", "x");
    m.files.SyncEverything();
  };
  EXPECT_EQ(Outcomes(act, ContentOf("/d/f")), Set{"x"});
}

TEST(MemoryFileSystemTest, HandlesAndLocksDieWithTheProcessAndNothingElse) {
  Machine m;
  ASSERT_OK_AND_ASSIGN(auto file, m.files.Open("/f", OpenMode::kCreateNew));
  ASSERT_OK(file->WriteAt(0, AsBytes("unsynced")));
  ASSERT_OK_AND_ASSIGN(auto lock, m.files.Lock("/lock", {}));
  EXPECT_EQ(m.files.open_file_count(), 1U);
  EXPECT_EQ(m.files.lock_count(), 1U);
  m.files.ProcessDies();
  EXPECT_EQ(m.files.open_file_count(), 0U);
  EXPECT_FAILS(Errc::kIo, file->WriteAt(0, AsBytes("x")));
  EXPECT_EQ(m.Read("/f"), "unsynced");
  ASSERT_OK_AND_ASSIGN(auto next, m.files.Lock("/lock", {}));
  lock.reset();  // of the dead process: must not free the lock of the living one
  EXPECT_FAILS(Errc::kBusy, m.files.Lock("/lock", {}));
  file.reset();
  EXPECT_EQ(m.files.open_file_count(), 0U);
}

TEST(MemoryFileSystemTest, AFullDiskTakesWhatFitsAndSpaceComesBack) {
  ManualClock clock;
  MemoryFileSystem files(clock, {.capacity_bytes = 3 * 4096});
  ASSERT_OK_AND_ASSIGN(auto file, files.Open("/f", OpenMode::kCreateNew));
  EXPECT_FAILS(Errc::kNoSpace, file->WriteAt(0, Bytes(5 * 4096)));
  ASSERT_OK_AND_ASSIGN(const fs::FileInfo full, file->Info());
  EXPECT_EQ(full.size_bytes, 3U * 4096);
  EXPECT_OK(file->WriteAt(100, AsBytes("overwriting needs no space")));
  ASSERT_OK_AND_ASSIGN(const std::uint64_t none, files.FreeBytes("/"));
  EXPECT_EQ(none, 0U);
  ASSERT_OK(files.Remove("/f"));
  EXPECT_EQ(*files.FreeBytes("/"), 0U);  // still open
  file.reset();
  EXPECT_EQ(*files.FreeBytes("/"), 3U * 4096);
  files.SetCapacity(4096);
  EXPECT_EQ(*files.FreeBytes("/"), 4096U);
}

TEST(MemoryFileSystemTest, OpenFilesAreLimited) {
  ManualClock clock;
  MemoryFileSystem files(clock, {.open_files_max = 1});
  ASSERT_OK_AND_ASSIGN(auto file, files.Open("/f", OpenMode::kCreate));
  EXPECT_FAILS(Errc::kUnavailable, files.Open("/f", OpenMode::kRead));
  file.reset();
  EXPECT_OK(files.Open("/f", OpenMode::kRead));
}

}  // namespace
}  // namespace runnel::testing
