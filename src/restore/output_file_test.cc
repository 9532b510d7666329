#include "restore/output_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "fs/file_operations.h"
#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"

namespace runnel::restore {
namespace {

constexpr std::size_t kAnySize = 1 << 20;

class OutputFileTest : public ::testing::Test {
 protected:
  void Put(const fs::Path& path, std::string_view content) {
    ASSERT_OK_AND_ASSIGN(auto file, files_.Open(path, fs::OpenMode::kCreate));
    ASSERT_OK(file->WriteAt(0, AsBytes(content)));
    ASSERT_OK(file->Sync());
  }

  Result<std::unique_ptr<OutputFile>> Create(OutputFile::Options options = {},
                                             fs::Path path = "/db") {
    return OutputFile::Create(files_, std::move(path), 5, options);
  }

  std::string Content(const fs::Path& path) {
    const auto bytes = fs::ReadFile(files_, path, kAnySize);
    return bytes ? std::string(AsText(*bytes)) : bytes.error().message();
  }

  std::vector<std::string> Names(const fs::Path& path = "/") {
    std::vector<std::string> names;
    const auto entries = files_.List(path);
    if (entries) {
      for (const fs::DirectoryEntry& entry : *entries) names.push_back(entry.name);
    }
    std::ranges::sort(names);
    return names;
  }

  using Strings = std::vector<std::string>;

  testing::ManualClock clock_;
  testing::MemoryFileSystem files_{clock_};
};

TEST_F(OutputFileTest, AppearsWholeWhenPublished) {
  ASSERT_OK_AND_ASSIGN(auto output, Create());
  ASSERT_OK(output->WriteAt(1, AsBytes("abc")));
  EXPECT_EQ(Names(), (Strings{"db.tmp"}));
  ASSERT_OK(output->Publish());
  output.reset();
  EXPECT_EQ(Names(), (Strings{"db"}));
  EXPECT_EQ(Content("/db"), std::string("\0abc\0", 5));
}

TEST_F(OutputFileTest, LeavesNothingWithoutPublish) {
  {
    ASSERT_OK_AND_ASSIGN(auto output, Create({}, "/new/deep/db"));
    EXPECT_EQ(Names("/new/deep"), (Strings{"db.tmp"}));
  }
  EXPECT_EQ(Names(), Strings{});
}

TEST_F(OutputFileTest, RefusesWhatIsThere) {
  Put("/db", "x");
  EXPECT_FAILS(Errc::kAlreadyExists, Create());
  EXPECT_EQ(Names(), (Strings{"db"}));
  for (const char* sidecar : {"/new-wal", "/new-shm", "/new-journal"}) {
    Put(sidecar, "");
    EXPECT_FAILS(Errc::kAlreadyExists, Create({}, "/new"));
    ASSERT_OK(files_.Remove(sidecar));
  }
  ASSERT_OK(files_.CreateDirectories("/folder", {}));
  EXPECT_FAILS(Errc::kInvalidArgument, Create({}, "/folder"));
  EXPECT_FAILS(Errc::kInvalidArgument, Create({.overwrite = Overwrite::kReplace}, "/folder"));
}

TEST_F(OutputFileTest, RefusesWhatAppearedMeanwhile) {
  ASSERT_OK_AND_ASSIGN(auto output, Create());
  Put("/db", "application");
  EXPECT_FAILS(Errc::kAlreadyExists, output->Publish());
  output.reset();
  EXPECT_EQ(Names(), (Strings{"db"}));
  EXPECT_EQ(Content("/db"), "application");
}

TEST_F(OutputFileTest, AnEmptyFileIsNoDatabase) {
  Put("/db", "");
  ASSERT_OK_AND_ASSIGN(auto output, Create());
  ASSERT_OK(output->WriteAt(0, AsBytes("hello")));
  ASSERT_OK(output->Publish());
  EXPECT_EQ(Content("/db"), "hello");
}

TEST_F(OutputFileTest, ReplacesADatabaseAndItsSidecars) {
  Put("/db", "old");
  Put("/db-wal", "old");
  Put("/db-journal", "old");
  ASSERT_OK_AND_ASSIGN(auto output, Create({.overwrite = Overwrite::kReplace}));
  ASSERT_OK(output->WriteAt(0, AsBytes("hello")));
  EXPECT_EQ(Names(), (Strings{"db", "db-journal", "db-wal", "db.tmp"}));
  ASSERT_OK(output->Publish());
  EXPECT_EQ(Names(), (Strings{"db"}));
  EXPECT_EQ(Content("/db"), "hello");
}

TEST_F(OutputFileTest, ALeftoverIsReplacedARunningRestoreIsNot) {
  Put("/db.tmp", "leftover of a killed restore");
  ASSERT_OK_AND_ASSIGN(auto output, Create());
  ASSERT_OK(output->WriteAt(0, AsBytes("hello")));
  EXPECT_FAILS(Errc::kBusy, Create());
  EXPECT_EQ(Names(), (Strings{"db.tmp"}));
  ASSERT_OK(output->Publish());
  EXPECT_EQ(Content("/db"), "hello");
}

TEST_F(OutputFileTest, HasTheOwnershipAskedForElseThatOfWhatIsThere) {
  const fs::Ownership asked{.mode = 0640, .uid = 7, .gid = 8};
  ASSERT_OK_AND_ASSIGN(auto output, Create({.ownership = asked}));
  ASSERT_OK(output->Publish());
  ASSERT_OK_AND_ASSIGN(auto info, files_.Stat("/db"));
  EXPECT_EQ(info.ownership, asked);

  Put("/db", "x");
  ASSERT_OK_AND_ASSIGN(output, Create({.overwrite = Overwrite::kReplace}));
  ASSERT_OK(output->Publish());
  ASSERT_OK_AND_ASSIGN(info, files_.Stat("/db"));
  EXPECT_EQ(info.ownership, asked);

  ASSERT_OK(files_.CreateDirectories("/home", {.mode = 0755, .uid = 5, .gid = 6}));
  ASSERT_OK_AND_ASSIGN(output, Create({}, "/home/a/db"));
  ASSERT_OK(output->Publish());
  ASSERT_OK_AND_ASSIGN(info, files_.Stat("/home/a/db"));
  EXPECT_EQ(info.ownership, (fs::Ownership{.mode = 0600, .uid = 5, .gid = 6}));
}

TEST_F(OutputFileTest, NoRoomIsSaidAtOnce) {
  files_.SetCapacity(4);
  EXPECT_FAILS(Errc::kNoSpace, Create());
  EXPECT_EQ(Names(), Strings{});
}

TEST_F(OutputFileTest, APublishedFileSurvivesPowerLossInNewFolders) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    testing::SeededRandom random(seed);
    testing::MemoryFileSystem files(clock_);
    ASSERT_OK_AND_ASSIGN(auto output, OutputFile::Create(files, "/a/b/db", 5, {}));
    ASSERT_OK(output->WriteAt(0, AsBytes("hello")));
    ASSERT_OK(output->Publish());
    files.PowerLoss(random);
    ASSERT_OK_AND_ASSIGN(const Bytes bytes, fs::ReadFile(files, "/a/b/db", kAnySize));
    EXPECT_EQ(AsText(bytes), "hello");
  }
}

}  // namespace
}  // namespace runnel::restore
