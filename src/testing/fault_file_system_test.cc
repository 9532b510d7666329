#include "testing/fault_file_system.h"

#include <gtest/gtest.h>

#include "fs/file_operations.h"
#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"

namespace runnel::testing {
namespace {

using fs::OpenMode;

class FaultFileSystemTest : public ::testing::Test {
 protected:
  Result<void> Replace(std::string_view text) {
    return fs::ReplaceFile(files_, "/f", AsBytes(text), {.mode = 0600});
  }
  std::string Content() {
    auto content = fs::ReadFile(memory_, "/f", 1000);
    return content ? std::string(AsText(*content)) : "absent";
  }

  ManualClock clock_;
  MemoryFileSystem memory_{clock_};
  FaultFileSystem files_{memory_};
};

TEST_F(FaultFileSystemTest, WithoutAFaultEverythingGoesThrough) {
  EXPECT_OK(Replace("x"));
  EXPECT_EQ(Content(), "x");
  // remove, open, write, sync, rename, sync of the directory
  EXPECT_EQ(files_.call_count(), 6U);
  EXPECT_EQ(files_.failure_count(), 0U);
}

TEST_F(FaultFileSystemTest, FailsEachCallInTurnAndNoOther) {
  for (std::uint64_t n = 1; n <= 6; ++n) {
    files_.FailAt(n, {.code = Errc::kNoSpace});
    EXPECT_FAILS(Errc::kNoSpace, Replace("x")) << n;
    EXPECT_EQ(files_.failure_count(), 1U);
    EXPECT_OK(Replace("y")) << n;
  }
  files_.FailAt(7);
  EXPECT_OK(Replace("z"));
}

TEST_F(FaultFileSystemTest, CanFailForGoodUntilItIsHealed) {
  files_.FailAt(3, {.duration = FileFault::Duration::kFromThenOn});
  EXPECT_FAILS(Errc::kIo, Replace("x"));
  EXPECT_FAILS(Errc::kIo, Replace("x"));
  EXPECT_GT(files_.failure_count(), 2U);
  files_.Heal();
  EXPECT_OK(Replace("x"));
}

TEST_F(FaultFileSystemTest, AFailedWriteCanBeTornOrWhole) {
  ASSERT_OK_AND_ASSIGN(auto file, files_.Open("/f", OpenMode::kCreateNew));
  files_.FailAt(1, {.effect = FileFault::Effect::kPartial});
  EXPECT_FAILS(Errc::kIo, file->WriteAt(0, AsBytes("12345678")));
  EXPECT_EQ(Content(), "1234");
  files_.FailAt(1, {.effect = FileFault::Effect::kWhole});
  EXPECT_FAILS(Errc::kIo, file->WriteAt(0, AsBytes("abcdefgh")));
  EXPECT_EQ(Content(), "abcdefgh");
  files_.FailAt(1);
  EXPECT_FAILS(Errc::kIo, file->WriteAt(0, AsBytes("zzzzzzzz")));
  EXPECT_EQ(Content(), "abcdefgh");
}

TEST_F(FaultFileSystemTest, ARenameCanHappenAndFail) {
  ASSERT_OK(Replace("x"));
  files_.FailAt(1, {.effect = FileFault::Effect::kWhole});
  EXPECT_FAILS(Errc::kIo, files_.Rename("/f", "/g"));
  EXPECT_EQ(Content(), "absent");
  EXPECT_OK(memory_.Stat("/g"));
}

TEST_F(FaultFileSystemTest, ASyncThatFailsSyncsNothing) {
  SeededRandom random(1);
  bool lost = false;
  for (int round = 0; round < 20; ++round) {
    ASSERT_OK(Replace("old"));
    ASSERT_OK_AND_ASSIGN(auto file, files_.Open("/f", OpenMode::kReadWrite));
    ASSERT_OK(file->WriteAt(0, AsBytes("new")));
    files_.FailAt(1);
    ASSERT_FAILS(Errc::kIo, file->Sync());
    memory_.PowerLoss(random);
    lost = lost || Content() == "old";
  }
  EXPECT_TRUE(lost);
}

TEST_F(FaultFileSystemTest, CountsOnlyWhatTheFilterTakes) {
  files_.CountOnly([](const FileCallRecord& r) { return r.call == FileCall::kSync; });
  files_.FailAt(1, {.code = Errc::kNoSpace});
  EXPECT_FAILS(Errc::kNoSpace, Replace("x"));
  EXPECT_EQ(files_.call_count(), 1U);
  EXPECT_TRUE(IsMutating(FileCall::kSync));
  EXPECT_FALSE(IsMutating(FileCall::kRead));
}

TEST_F(FaultFileSystemTest, NamesTheCallThatFailed) {
  files_.FailAt(3);
  auto failed = Replace("abc");
  ASSERT_FALSE(failed.has_value());
  EXPECT_NE(failed.error().message().find("write /f.tmp 3 bytes at 0"), std::string::npos);
  EXPECT_NE(files_.RecentCalls().find("write /f.tmp 3 bytes at 0  <-- fails"), std::string::npos);
}

}  // namespace
}  // namespace runnel::testing
