// What every FileSystem promises, held against each of them.

#include "fs/file_system.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "fs/posix_file_system.h"
#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"
#include "testing/temp_dir.h"

namespace runnel::fs {
namespace {

struct Place {
  virtual ~Place() = default;
  virtual FileSystem& files() = 0;
  virtual Path root() = 0;
};

struct PosixPlace final : Place {
  FileSystem& files() override { return files_; }
  Path root() override { return dir_.path(); }
  testing::TempDir dir_;
  PosixFileSystem files_;
};

struct MemoryPlace final : Place {
  FileSystem& files() override { return files_; }
  Path root() override { return "/"; }
  testing::ManualClock clock_;
  testing::MemoryFileSystem files_{clock_};
};

struct Kind {
  const char* name;
  std::function<std::unique_ptr<Place>()> make;
};

class FileSystemTest : public ::testing::TestWithParam<Kind> {
 protected:
  FileSystem& files() { return place_->files(); }
  Path At(std::string_view name) { return place_->root() / name; }

  void Write(const Path& path, std::string_view text) {
    ASSERT_OK_AND_ASSIGN(auto file, files().Open(path, OpenMode::kCreate));
    ASSERT_OK(file->Truncate(0));
    ASSERT_OK(file->WriteAt(0, AsBytes(text)));
  }

  std::string Read(const Path& path) {
    auto file = files().Open(path, OpenMode::kRead);
    if (!file) return "error: " + file.error().message();
    Bytes bytes(1000);
    auto size = (*file)->ReadAt(0, bytes);
    if (!size) return "error: " + size.error().message();
    return std::string(AsText(ByteView(bytes).first(*size)));
  }

 private:
  std::unique_ptr<Place> place_ = GetParam().make();
};

TEST_P(FileSystemTest, ReadsWhatWasWrittenAtAnyOffset) {
  ASSERT_OK_AND_ASSIGN(auto file, files().Open(At("f"), OpenMode::kCreateNew));
  ASSERT_OK(file->WriteAt(10, AsBytes("world")));
  ASSERT_OK(file->WriteAt(0, AsBytes("hello")));
  EXPECT_EQ(Read(At("f")), std::string("hello\0\0\0\0\0world", 15));
  Bytes out(4);
  ASSERT_OK_AND_ASSIGN(const std::size_t at_end, file->ReadAt(13, out));
  EXPECT_EQ(AsText(ByteView(out).first(at_end)), "ld");
  ASSERT_OK_AND_ASSIGN(const std::size_t past_end, file->ReadAt(15, out));
  EXPECT_EQ(past_end, 0U);
  ASSERT_OK_AND_ASSIGN(const std::size_t far_past_end, file->ReadAt(1'000'000'007, out));
  EXPECT_EQ(far_past_end, 0U);
}

TEST_P(FileSystemTest, TruncateCutsAndExtendsWithZeros) {
  Write(At("f"), "abcdef");
  ASSERT_OK_AND_ASSIGN(auto file, files().Open(At("f"), OpenMode::kReadWrite));
  ASSERT_OK(file->Truncate(2));
  ASSERT_OK(file->Truncate(4));
  EXPECT_EQ(Read(At("f")), std::string("ab\0\0", 4));
  ASSERT_OK_AND_ASSIGN(const FileInfo info, file->Info());
  EXPECT_EQ(info.size_bytes, 4U);
}

TEST_P(FileSystemTest, AllocateOnlyEverExtendsWithZeros) {
  Write(At("f"), "abcdef");
  ASSERT_OK_AND_ASSIGN(auto file, files().Open(At("f"), OpenMode::kReadWrite));
  ASSERT_OK(file->Allocate(8));
  EXPECT_EQ(Read(At("f")), std::string("abcdef\0\0", 8));
  ASSERT_OK(file->Allocate(3));
  ASSERT_OK(file->Allocate(0));
  EXPECT_EQ(Read(At("f")), std::string("abcdef\0\0", 8));
}

TEST_P(FileSystemTest, WriteBackChangesNothing) {
  Write(At("f"), "abcdef");
  ASSERT_OK_AND_ASSIGN(auto file, files().Open(At("f"), OpenMode::kReadWrite));
  file->StartWriteBack(2, 1'000'000);
  EXPECT_EQ(Read(At("f")), "abcdef");
  ASSERT_OK(file->Sync());
}

TEST_P(FileSystemTest, OpenModesSayWhatMustBeThere) {
  EXPECT_FAILS(Errc::kNotFound, files().Open(At("f"), OpenMode::kRead));
  EXPECT_FAILS(Errc::kNotFound, files().Open(At("f"), OpenMode::kReadWrite));
  EXPECT_OK(files().Open(At("f"), OpenMode::kCreateNew));
  EXPECT_FAILS(Errc::kAlreadyExists, files().Open(At("f"), OpenMode::kCreateNew));
  Write(At("f"), "kept");
  EXPECT_OK(files().Open(At("f"), OpenMode::kCreate));
  EXPECT_EQ(Read(At("f")), "kept");
  EXPECT_FAILS(Errc::kNotFound, files().Open(At("f/below"), OpenMode::kCreate));
  EXPECT_FAILS(Errc::kNotFound, files().Open(At("missing/f"), OpenMode::kCreate));
}

TEST_P(FileSystemTest, ADirectoryIsNoFile) {
  ASSERT_OK(files().CreateDirectories(At("d"), {.mode = 0700}));
  for (const OpenMode mode : {OpenMode::kRead, OpenMode::kReadWrite, OpenMode::kCreate}) {
    EXPECT_FAILS(Errc::kInvalidArgument, files().Open(At("d"), mode));
  }
  EXPECT_FAILS(Errc::kAlreadyExists, files().Open(At("d"), OpenMode::kCreateNew));
}

TEST_P(FileSystemTest, RenameReplacesAndKeepsTheFile) {
  Write(At("a"), "new");
  Write(At("b"), "old");
  ASSERT_OK_AND_ASSIGN(const FileInfo before, files().Stat(At("a")));
  ASSERT_OK(files().Rename(At("a"), At("b")));
  EXPECT_EQ(Read(At("b")), "new");
  EXPECT_FAILS(Errc::kNotFound, files().Stat(At("a")));
  ASSERT_OK_AND_ASSIGN(const FileInfo after, files().Stat(At("b")));
  EXPECT_EQ(before.identity, after.identity);
  EXPECT_FAILS(Errc::kNotFound, files().Rename(At("a"), At("c")));
}

TEST_P(FileSystemTest, RenameNoReplaceLeavesWhatIsThere) {
  Write(At("a"), "new");
  Write(At("b"), "old");
  EXPECT_FAILS(Errc::kAlreadyExists, files().RenameNoReplace(At("a"), At("b")));
  EXPECT_EQ(Read(At("b")), "old");
  EXPECT_EQ(Read(At("a")), "new");
  ASSERT_OK(files().RenameNoReplace(At("a"), At("c")));
  EXPECT_EQ(Read(At("c")), "new");
  EXPECT_FAILS(Errc::kNotFound, files().Stat(At("a")));
}

TEST_P(FileSystemTest, RenameMovesBetweenDirectoriesAndMovesDirectories) {
  ASSERT_OK(files().CreateDirectories(At("d/e"), {.mode = 0700}));
  Write(At("d/e/f"), "x");
  ASSERT_OK(files().Rename(At("d/e/f"), At("f")));
  EXPECT_EQ(Read(At("f")), "x");
  Write(At("d/e/g"), "y");
  ASSERT_OK(files().Rename(At("d"), At("moved")));
  EXPECT_EQ(Read(At("moved/e/g")), "y");
  EXPECT_FAILS(Errc::kNotFound, files().Stat(At("d")));
}

TEST_P(FileSystemTest, RemoveTakesFilesAndEmptyDirectoriesOnly) {
  ASSERT_OK(files().CreateDirectories(At("d"), {.mode = 0700}));
  Write(At("d/f"), "x");
  EXPECT_FAILS(Errc::kAlreadyExists, files().Remove(At("d")));
  ASSERT_OK(files().Remove(At("d/f")));
  ASSERT_OK(files().Remove(At("d")));
  EXPECT_FAILS(Errc::kNotFound, files().Remove(At("d")));
}

TEST_P(FileSystemTest, AnOpenFileOutlivesItsName) {
  Write(At("f"), "still");
  ASSERT_OK_AND_ASSIGN(auto file, files().Open(At("f"), OpenMode::kReadWrite));
  ASSERT_OK(files().Remove(At("f")));
  ASSERT_OK(file->WriteAt(5, AsBytes(" here")));
  Bytes out(10);
  ASSERT_OK(file->ReadAt(0, out));
  EXPECT_EQ(AsText(out), "still here");
  EXPECT_FAILS(Errc::kNotFound, files().Stat(At("f")));
}

TEST_P(FileSystemTest, CreateDirectoriesIsIdempotentAndAddsSearchBits) {
  ASSERT_OK(files().CreateDirectories(At("a/b/c"), {.mode = 0640}));
  ASSERT_OK(files().CreateDirectories(At("a/b/c"), {.mode = 0600}));
  ASSERT_OK_AND_ASSIGN(const FileInfo info, files().Stat(At("a/b")));
  EXPECT_EQ(info.type, FileType::kDirectory);
  EXPECT_EQ(info.ownership.mode, 0750U);
  Write(At("f"), "");
  EXPECT_FAILS(Errc::kInvalidArgument, files().CreateDirectories(At("f"), {.mode = 0700}));
}

TEST_P(FileSystemTest, ListTellsNamesAndTypes) {
  ASSERT_OK(files().CreateDirectories(At("d/sub"), {.mode = 0700}));
  Write(At("d/file name ü"), "");
  ASSERT_OK_AND_ASSIGN(auto entries, files().List(At("d")));
  std::ranges::sort(entries, {}, &DirectoryEntry::name);
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].name, "file name ü");
  EXPECT_EQ(entries[0].type, FileType::kRegular);
  EXPECT_EQ(entries[1].name, "sub");
  EXPECT_EQ(entries[1].type, FileType::kDirectory);
  EXPECT_FAILS(Errc::kNotFound, files().List(At("none")));
}

TEST_P(FileSystemTest, ModeIsGivenToNewFilesOnly) {
  {
    ASSERT_OK_AND_ASSIGN(auto file, files().Open(At("f"), OpenMode::kCreate, {.mode = 0666}));
  }
  ASSERT_OK_AND_ASSIGN(const FileInfo made, files().Stat(At("f")));
  EXPECT_EQ(made.ownership.mode, 0666U);
  EXPECT_OK(files().Open(At("f"), OpenMode::kCreate, {.mode = 0600}));
  ASSERT_OK_AND_ASSIGN(const FileInfo opened, files().Stat(At("f")));
  EXPECT_EQ(opened.ownership.mode, 0666U);
}

TEST_P(FileSystemTest, SetModifiedKeepsMilliseconds) {
  Write(At("f"), "x");
  const WallTime time{std::chrono::milliseconds(1'600'000'000'123)};
  ASSERT_OK(files().SetModified(At("f"), time));
  ASSERT_OK_AND_ASSIGN(const FileInfo info, files().Stat(At("f")));
  EXPECT_EQ(info.modified, time);
  EXPECT_FAILS(Errc::kNotFound, files().SetModified(At("none"), time));
}

TEST_P(FileSystemTest, LockExcludesUntilItIsDestroyed) {
  ASSERT_OK_AND_ASSIGN(auto lock, files().Lock(At("lock"), {.mode = 0600}));
  EXPECT_FAILS(Errc::kBusy, files().Lock(At("lock"), {.mode = 0600}));
  EXPECT_OK(files().Lock(At("other"), {.mode = 0600}));
  lock.reset();
  EXPECT_OK(files().Lock(At("lock"), {.mode = 0600}));
}

TEST_P(FileSystemTest, SyncAndFreeBytesWork) {
  Write(At("f"), "x");
  ASSERT_OK_AND_ASSIGN(auto file, files().Open(At("f"), OpenMode::kReadWrite));
  EXPECT_OK(file->Sync());
  EXPECT_OK(files().SyncDirectory(At("")));
  EXPECT_FAILS(Errc::kNotFound, files().SyncDirectory(At("none")));
  ASSERT_OK_AND_ASSIGN(const std::uint64_t free, files().FreeBytes(At("")));
  EXPECT_GT(free, 0U);
}

TEST_P(FileSystemTest, ThreadsShareAFileAndRaceForAName) {
  ASSERT_OK_AND_ASSIGN(auto file, files().Open(At("f"), OpenMode::kCreateNew));
  constexpr int kThreads = 4;
  constexpr std::size_t kPieces = 200;
  std::atomic<int> winners = 0;
  std::atomic<int> failures = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const std::string piece(16, static_cast<char>('a' + t));
      for (std::size_t i = 0; i < kPieces; ++i) {
        const std::uint64_t offset = 16 * (i * kThreads + static_cast<std::size_t>(t));
        if (!file->WriteAt(offset, AsBytes(piece))) ++failures;
      }
      const Path mine = At("mine" + std::to_string(t));
      if (!files().Open(mine, OpenMode::kCreateNew)) ++failures;
      if (files().RenameNoReplace(mine, At("prize"))) ++winners;
    });
  }
  threads.clear();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(winners, 1);
  Bytes all(16 * kPieces * kThreads);
  ASSERT_OK_AND_ASSIGN(const std::size_t size, file->ReadAt(0, all));
  ASSERT_EQ(size, all.size());
  for (std::size_t i = 0; i < size; ++i) {
    ASSERT_EQ(static_cast<char>(all[i]), 'a' + static_cast<char>(i / 16 % kThreads)) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, FileSystemTest,
    ::testing::Values(Kind{"Posix", [] { return std::make_unique<PosixPlace>(); }},
                      Kind{"Memory", [] { return std::make_unique<MemoryPlace>(); }}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace runnel::fs
