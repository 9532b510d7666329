#include "sqlite/environment_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <string>
#include <thread>

#include "testing/result_matchers.h"
#include "testing/temp_dir.h"

namespace runnel::sqlite {
namespace {

using ::testing::HasSubstr;

TEST(EnvironmentCheckTest, ALocalDirectoryPassesAndStaysClean) {
  const testing::TempDir directory;
  EXPECT_OK(CheckLocksAndSharedMemory(directory.path()));
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(EnvironmentCheckTest, LeavesNoChildBehind) {
  const testing::TempDir directory;
  ASSERT_OK(CheckLocksAndSharedMemory(directory.path()));
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(EnvironmentCheckTest, WorksInAProgramWithThreads) {
  const testing::TempDir directory;
  std::vector<std::thread> threads;
  std::array<bool, 4> passed{};
  for (bool& mine : passed) {
    threads.emplace_back([&] {
      mine = true;
      for (int i = 0; i < 10; ++i) {
        mine = mine && CheckLocksAndSharedMemory(directory.path()).has_value();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(passed, ::testing::Each(true));
}

TEST(EnvironmentCheckTest, SaysWhyItCouldNotTry) {
  const auto missing = CheckLocksAndSharedMemory("/nonexistent/directory");
  ASSERT_FAILS(Errc::kNotFound, missing);
  EXPECT_THAT(missing.error().message(), HasSubstr("/nonexistent/directory"));
}

TEST(EnvironmentCheckTest, OnlyLocalFileSystemsAreTrustedUnnamed) {
  using fs::FileSystemClass;
  const std::array<std::string, 1> allowed{"nfs"};
  const fs::FileSystemKind local{FileSystemClass::kLocal, "ext4"};
  const fs::FileSystemKind nfs{FileSystemClass::kNetwork, "nfs"};
  const fs::FileSystemKind unknown{FileSystemClass::kUnknown, "0x1234"};
  EXPECT_OK(CheckFileSystemKind("/d", local, {}));
  const auto refused = CheckFileSystemKind("/d", nfs, {});
  ASSERT_FAILS(Errc::kUnsupported, refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("nfs"));
  EXPECT_OK(CheckFileSystemKind("/d", nfs, allowed));
  EXPECT_FAILS(Errc::kUnsupported, CheckFileSystemKind("/d", unknown, allowed));
}

}  // namespace
}  // namespace runnel::sqlite
