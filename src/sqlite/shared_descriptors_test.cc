#include "sqlite/shared_descriptors.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "testing/live_database.h"

namespace runnel::sqlite {
namespace {

using testing::App;
using testing::DescriptorsOf;

// Whether another process could take SQLite's EXCLUSIVE lock on the database, as the last one that
// closes it does before it deletes the WAL.
bool AnotherProcessCanLock(const fs::Path& path) {
  const pid_t child = ::fork();
  if (child == 0) {
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = 0x40000002;  // SHARED_FIRST, SHARED_SIZE
    lock.l_len = 510;
    if (descriptor < 0) ::_exit(2);
    if (::fcntl(descriptor, F_SETLK, &lock) == 0) ::_exit(0);
    ::_exit(errno == EAGAIN || errno == EACCES ? 1 : 2);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) < 2);
  return WEXITSTATUS(status) == 0;
}

class SharedDescriptorsTest : public testing::LiveDatabaseTest {
 protected:
  std::unique_ptr<Connection> OpenReading() {
    auto connection = Open();
    EXPECT_OK(connection->Begin());
    return connection;
  }
};

TEST_F(SharedDescriptorsTest, ConnectionsToAFileHaveOneDescriptor) {
  auto holder = OpenReading();
  for (int round = 0; round < 5; ++round) {
    auto reading = OpenReading();
    auto idle = Open();
    auto checkpointer = Open();
    ASSERT_OK(checkpointer->Checkpoint(CheckpointMode::kPassive));
    EXPECT_EQ(DescriptorsOf(path_), 1);
    EXPECT_EQ(DescriptorsOf(path_.native() + "-shm"), 1);
  }
  EXPECT_EQ(DescriptorsOf(path_), 1);
  EXPECT_EQ(DescriptorsOf(path_.native() + "-wal"), 1);
  holder.reset();
  EXPECT_EQ(DescriptorsOf(path_), 0);
}

// As the read mark moves: the one that opened the descriptor is closed first.
TEST_F(SharedDescriptorsTest, ClosingAConnectionKeepsTheLocksOfTheOthers) {
  auto first = OpenReading();
  ASSERT_FALSE(AnotherProcessCanLock(path_));
  auto second = OpenReading();
  first.reset();
  EXPECT_FALSE(AnotherProcessCanLock(path_));
  auto third = OpenReading();
  second.reset();
  EXPECT_FALSE(AnotherProcessCanLock(path_));
  third.reset();
  EXPECT_TRUE(AnotherProcessCanLock(path_));
}

// SQLite closes at once what it closes while nobody has a lock, though others have it open.
TEST_F(SharedDescriptorsTest, AConnectionThatNeverHadALockIsClosedBesideOthers) {
  auto idle = Open();
  Open().reset();
  ASSERT_OK(idle->Begin());
  EXPECT_FALSE(AnotherProcessCanLock(path_));
  Open().reset();
  EXPECT_FALSE(AnotherProcessCanLock(path_));
  ASSERT_OK(idle->Rollback());
  ASSERT_OK(idle->PageSize());
}

TEST_F(SharedDescriptorsTest, AnApplicationOfThisProcessHasItsOwn) {
  auto ours = OpenReading();
  auto app = std::make_unique<App>(path_);
  app->Run("INSERT INTO t VALUES(2)");
  EXPECT_EQ(DescriptorsOf(path_), 2);
  app.reset();
  EXPECT_FALSE(AnotherProcessCanLock(path_));
  ours.reset();
  EXPECT_EQ(DescriptorsOf(path_), 0);
}

TEST_F(SharedDescriptorsTest, AReplacedFileIsAnother) {
  auto old = OpenReading();
  const fs::Path away = directory_.path() / "away.db";
  std::filesystem::rename(path_, away);
  {
    App app(path_);
    app.Run("PRAGMA journal_mode=WAL; CREATE TABLE u(x)");
  }
  auto fresh = Open();
  EXPECT_EQ(DescriptorsOf(path_), 1);
  EXPECT_EQ(DescriptorsOf(away), 1);
  fresh.reset();
  EXPECT_FALSE(AnotherProcessCanLock(away));
  EXPECT_EQ(DescriptorsOf(path_), 0);
  EXPECT_EQ(DescriptorsOf(away), 1);
}

// A descriptor has one offset of its own, which nobody may move.
TEST_F(SharedDescriptorsTest, ThreadsReadBesideEachOther) {
  {
    App app(path_);
    app.Run("INSERT INTO t VALUES(randomblob(200000)); PRAGMA wal_checkpoint(TRUNCATE)");
  }
  constexpr std::size_t kPage = 4096;
  constexpr std::size_t kPages = 40;
  std::vector<Bytes> expected(kPages, Bytes(kPage));
  auto connection = Open();
  for (std::size_t page = 0; page < kPages; ++page) {
    ASSERT_OK(connection->ReadDatabaseFile(page * kPage, expected[page]));
  }
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (std::size_t thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&, own = Open(), thread] {
        Bytes page(kPage);
        for (std::size_t i = 0; i < 2000; ++i) {
          const std::size_t at = (i * 7 + thread * 11) % kPages;
          const auto read = own->ReadDatabaseFile(at * kPage, page);
          if (!read || page != expected[at]) ++wrong;
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
}

// ---- The calls themselves -----------------------------------------------------------------------

std::vector<int> closed;
std::vector<std::pair<fs::Path, fs::Path>> link_before_open;  // from, to

int RealClose(int descriptor) {
  closed.push_back(descriptor);
  return ::close(descriptor);
}

int RealOpen(const char* path, int flags, int mode) {
  for (const auto& [from, to] : link_before_open) {
    std::filesystem::remove(to);
    std::filesystem::create_hard_link(from, to);
  }
  link_before_open.clear();
  return ::open(path, flags | O_CLOEXEC, mode);
}

class SharedDescriptorsCallsTest : public ::testing::Test {
 protected:
  SharedDescriptorsCallsTest() {
    closed.clear();
    for (const char* name : {"a", "b"}) std::ofstream(directory_.path() / name) << name;
  }

  int Open(const char* name, int flags = O_RDWR) {
    return shared_.Open((directory_.path() / name).c_str(), flags, 0600);
  }

  const testing::TempDir directory_;
  SharedDescriptors shared_{RealOpen, RealClose};
};

TEST_F(SharedDescriptorsCallsTest, ClosesWhatIsClosedAsOftenAsItWasOpened) {
  const int descriptor = Open("a");
  ASSERT_GE(descriptor, 0);
  EXPECT_EQ(Open("a"), descriptor);
  const int other = Open("b");
  EXPECT_NE(other, descriptor);
  EXPECT_EQ(shared_.Close(descriptor), 0);
  EXPECT_TRUE(closed.empty());
  EXPECT_EQ(shared_.Close(descriptor), 0);
  EXPECT_EQ(shared_.Close(other), 0);
  EXPECT_EQ(closed, (std::vector{descriptor, other}));
}

TEST_F(SharedDescriptorsCallsTest, SharesNothingButWhatIsOpenedForBothAndNotMade) {
  const int shared = Open("a");
  for (const int flags : {O_RDONLY, O_RDWR | O_CREAT, O_RDWR | O_TRUNC}) {
    const int own = Open("a", flags);
    ASSERT_GE(own, 0);
    EXPECT_NE(own, shared);
    EXPECT_EQ(shared_.Close(own), 0);
    EXPECT_EQ(closed, std::vector{own});
    closed.clear();
  }
  EXPECT_EQ(shared_.Close(shared), 0);
}

TEST_F(SharedDescriptorsCallsTest, SaysWhyAFileCannotBeOpened) {
  errno = 0;
  EXPECT_EQ(Open("missing"), -1);
  EXPECT_EQ(errno, ENOENT);
}

// Then there are two descriptors of one file, and which of them may be closed only SQLite knows.
TEST_F(SharedDescriptorsCallsTest, AFileThatIsReplacedByASharedOneWhileItIsOpenedIsNotShared) {
  const int shared = Open("a");
  link_before_open.emplace_back(directory_.path() / "a", directory_.path() / "b");
  const int second = Open("b");
  ASSERT_GE(second, 0);
  EXPECT_NE(second, shared);
  EXPECT_TRUE(closed.empty());
  EXPECT_EQ(Open("b"), shared);
  EXPECT_EQ(shared_.Close(second), 0);
  EXPECT_EQ(closed, std::vector{second});
  EXPECT_EQ(shared_.Close(shared), 0);
  EXPECT_EQ(shared_.Close(shared), 0);
  EXPECT_EQ(closed, (std::vector{second, shared}));
}

// The number is the system's to give out again.
TEST_F(SharedDescriptorsCallsTest, ANumberThatIsUsedAgainIsAnotherFile) {
  const int first = Open("a");
  EXPECT_EQ(shared_.Close(first), 0);
  const int again = Open("b");
  EXPECT_EQ(again, first);
  EXPECT_EQ(Open("b"), again);
  const int other = Open("a");
  EXPECT_NE(other, again);
  for (const int descriptor : {again, again, other}) EXPECT_EQ(shared_.Close(descriptor), 0);
}

}  // namespace
}  // namespace runnel::sqlite
