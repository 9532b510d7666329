#include "fs/file_operations.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "fs/file_stream.h"
#include "fs/posix_file_system.h"
#include "fs/spill_buffer.h"
#include "fs/temporary.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"
#include "testing/temp_dir.h"

namespace runnel::fs {
namespace {

class FileOperationsTest : public ::testing::Test {
 protected:
  Path At(std::string_view name) { return dir_.path() / name; }
  void Put(std::string_view name, std::string_view text) {
    ASSERT_OK(ReplaceFile(files_, At(name), AsBytes(text), {.mode = 0600}));
  }
  std::size_t EntryCount() { return files_.List(dir_.path())->size(); }

  testing::TempDir dir_;
  PosixFileSystem files_;
};

TEST_F(FileOperationsTest, ReplaceFileLeavesOnlyTheNewFile) {
  Put("f.tmp", "left by a writer that died");
  ASSERT_OK(ReplaceFile(files_, At("f"), AsBytes("one"), {.mode = 0600}));
  ASSERT_OK(ReplaceFile(files_, At("f"), AsBytes("two"), {.mode = 0640}));
  ASSERT_OK_AND_ASSIGN(const Bytes content, ReadFile(files_, At("f"), 100));
  EXPECT_EQ(AsText(content), "two");
  ASSERT_OK_AND_ASSIGN(const FileInfo info, files_.Stat(At("f")));
  EXPECT_EQ(info.ownership.mode, 0640U);
  EXPECT_EQ(EntryCount(), 1U);
}

TEST_F(FileOperationsTest, ReplaceFileThatFailsLeavesTheOldOne) {
  ASSERT_OK(files_.CreateDirectories(At("f/in the way"), {.mode = 0700}));
  EXPECT_FAILS(Errc::kInvalidArgument, ReplaceFile(files_, At("f"), AsBytes("x"), {.mode = 0600}));
  EXPECT_EQ(EntryCount(), 1U);
  EXPECT_OK(files_.Stat(At("f/in the way")));
}

TEST_F(FileOperationsTest, ReadFileRefusesALargerOne) {
  Put("f", "12345");
  EXPECT_OK(ReadFile(files_, At("f"), 5));
  EXPECT_FAILS(Errc::kCorruption, ReadFile(files_, At("f"), 4));
  EXPECT_FAILS(Errc::kNotFound, ReadFile(files_, At("none"), 4));
}

TEST_F(FileOperationsTest, RemoveTreeDoesNotFollowLinksOutOfIt) {
  ASSERT_OK(files_.CreateDirectories(At("precious"), {.mode = 0700}));
  Put("precious/data", "x");
  ASSERT_OK(files_.CreateDirectories(At("tree/a/b"), {.mode = 0700}));
  Put("tree/a/f", "y");
  ASSERT_EQ(::symlink(At("precious").c_str(), At("tree/a/link").c_str()), 0);
  ASSERT_OK(RemoveTree(files_, At("tree")));
  EXPECT_FAILS(Errc::kNotFound, files_.Stat(At("tree")));
  EXPECT_OK(files_.Stat(At("precious/data")));
  EXPECT_OK(RemoveTree(files_, At("tree")));
}

TEST_F(FileOperationsTest, UniqueTemporaryPathFitsAndIsTemporary) {
  testing::SeededRandom random(1);
  const Path longest = At(std::string(255, 'x'));
  const Path temporary = UniqueTemporaryPath(longest, random);
  EXPECT_TRUE(IsTemporaryName(temporary.filename().native()));
  EXPECT_EQ(temporary.parent_path(), dir_.path());
  EXPECT_NE(temporary, UniqueTemporaryPath(longest, random));
  EXPECT_OK(files_.Open(temporary, OpenMode::kCreateNew));
  EXPECT_FALSE(IsTemporaryName("0000000000000001-0000000000000001.ltx"));
}

TEST_F(FileOperationsTest, AUniqueTemporaryNameIsTold) {
  testing::SeededRandom random(1);
  EXPECT_TRUE(IsUniqueTemporaryName(UniqueTemporaryPath("/a/b.ltx", random).filename().native()));
  EXPECT_TRUE(IsUniqueTemporaryName("a.0123456789abcdef.tmp"));
  for (const char* other : {"a.tmp", "a.0123456789abcde.tmp", "a.0123456789abcdeF.tmp",
                            "a-0123456789abcdef.tmp", ".0123456789abcdef.tmp", "a.0123456789abcdef",
                            "0000000000000001-0000000000000001.ltx.tmp"}) {
    EXPECT_FALSE(IsUniqueTemporaryName(other)) << other;
  }
}

TEST_F(FileOperationsTest, RemoveTemporaryFilesLeavesTheOthers) {
  Put("a.tmp", "x");
  Put("b", "x");
  ASSERT_OK(files_.CreateDirectories(At("directory.tmp"), {.mode = 0700}));
  ASSERT_OK_AND_ASSIGN(const std::size_t count, RemoveTemporaryFiles(files_, dir_.path()));
  EXPECT_EQ(count, 1U);
  EXPECT_EQ(EntryCount(), 2U);
  ASSERT_OK_AND_ASSIGN(const std::size_t none, RemoveTemporaryFiles(files_, At("none")));
  EXPECT_EQ(none, 0U);
}

TEST_F(FileOperationsTest, SinkAndSourceKeepTheBytesInOrderWhateverThePieces) {
  testing::SeededRandom random(2);
  const Bytes expected = random.NextBytes(10'000);
  ASSERT_OK_AND_ASSIGN(auto file, files_.Open(At("f"), OpenMode::kCreateNew));
  FileSink sink(*file, 7, 64);
  ByteView rest = expected;
  while (!rest.empty()) {
    const std::size_t size = std::min<std::size_t>(rest.size(), random.Below(200));
    ASSERT_OK(sink.Append(rest.first(size)));
    rest = rest.subspan(size);
  }
  EXPECT_EQ(sink.offset(), 7 + expected.size());
  ASSERT_OK(sink.Flush());

  FileSource source(*file, 7, expected.size() - 3, 64);
  Bytes actual;
  while (true) {
    Bytes piece(1 + random.Below(200));
    ASSERT_OK_AND_ASSIGN(const std::size_t count, source.Read(piece));
    if (count == 0) break;
    actual.insert(actual.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(count));
  }
  EXPECT_TRUE(std::equal(actual.begin(), actual.end(), expected.begin(), expected.end() - 3));
}

TEST_F(FileOperationsTest, SourceEndsWithTheFile) {
  Put("f", "abc");
  ASSERT_OK_AND_ASSIGN(auto file, files_.Open(At("f"), OpenMode::kRead));
  FileSource source(*file, 1, 100);
  Bytes out(2);
  ASSERT_OK(ReadExactly(source, out));
  EXPECT_EQ(AsText(out), "bc");
  ASSERT_OK_AND_ASSIGN(const std::size_t end, source.Read(out));
  EXPECT_EQ(end, 0U);
}

TEST_F(FileOperationsTest, SpillBufferGivesBackEverythingAndLeavesNoName) {
  testing::SeededRandom random(3);
  for (const std::size_t total : {0U, 100U, 101U, 300'000U}) {
    const Bytes expected = random.NextBytes(total);
    SpillBuffer buffer(files_, At("spill.tmp"), {.mode = 0600}, 100);
    ByteView rest = expected;
    while (!rest.empty()) {
      const std::size_t size = std::min<std::size_t>(rest.size(), 37);
      ASSERT_OK(buffer.Append(rest.first(size)));
      rest = rest.subspan(size);
    }
    EXPECT_EQ(buffer.size_bytes(), total);
    EXPECT_EQ(EntryCount(), 0U);
    for (int round = 0; round < 2; ++round) {
      VectorSink sink;
      ASSERT_OK(buffer.CopyTo(sink));
      EXPECT_TRUE(sink.bytes() == expected) << total;
    }
  }
}

}  // namespace
}  // namespace runnel::fs
