#include "fs/posix_file_system.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "fs/unique_fd.h"
#include "testing/result_matchers.h"
#include "testing/temp_dir.h"

namespace runnel::fs {
namespace {

// Runs `f` in a child process; its return value is the exit status.
template <class F>
int InChild(F f) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(f());
  int status = -1;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

class PosixFileSystemTest : public ::testing::Test {
 protected:
  Path At(std::string_view name) { return dir_.path() / name; }

  testing::TempDir dir_;
  PosixFileSystem files_;
};

TEST_F(PosixFileSystemTest, ModeDoesNotDependOnTheUmask) {
  const mode_t before = ::umask(0077);
  EXPECT_OK(files_.Open(At("f"), OpenMode::kCreateNew, {.mode = 0664}));
  EXPECT_OK(files_.CreateDirectories(At("d"), {.mode = 0755}));
  ::umask(before);
  ASSERT_OK_AND_ASSIGN(const FileInfo file, files_.Stat(At("f")));
  EXPECT_EQ(file.ownership.mode, 0664U);
  ASSERT_OK_AND_ASSIGN(const FileInfo directory, files_.Stat(At("d")));
  EXPECT_EQ(directory.ownership.mode, 0755U);
}

TEST_F(PosixFileSystemTest, AllocateSetsRoomAside) {
  const UniqueFd probe(::open(At("probe").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (::fallocate(probe.get(), 0, 0, 4096) != 0) GTEST_SKIP() << "this file system cannot";
  ASSERT_OK_AND_ASSIGN(auto file, files_.Open(At("f"), OpenMode::kCreateNew));
  ASSERT_OK(file->Allocate(1'000'000));
  struct stat st;
  ASSERT_EQ(::stat(At("f").c_str(), &st), 0);
  EXPECT_EQ(st.st_size, 1'000'000);
  EXPECT_GE(st.st_blocks * 512, 1'000'000);
}

TEST_F(PosixFileSystemTest, ALimitOfTheFileSizeIsAnErrorOfAllocate) {
  const int status = InChild([&] {
    const rlimit limit{.rlim_cur = 10'000, .rlim_max = 10'000};
    std::signal(SIGXFSZ, SIG_IGN);
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
    auto file = files_.Open(At("f"), OpenMode::kCreateNew);
    if (!file) return 2;
    const auto allocated = (*file)->Allocate(20'000);
    return !allocated && allocated.error().code() == Errc::kNoSpace ? 0 : 3;
  });
  EXPECT_EQ(status, 0);
}

TEST_F(PosixFileSystemTest, OwnerIsGivenByWhoeverMay) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  EXPECT_OK(files_.Open(At("f"), OpenMode::kCreateNew, {.mode = 0640, .uid = 1234, .gid = 2345}));
  ASSERT_OK_AND_ASSIGN(const FileInfo info, files_.Stat(At("f")));
  EXPECT_EQ(info.ownership, (Ownership{.mode = 0640, .uid = 1234, .gid = 2345}));
}

TEST_F(PosixFileSystemTest, AGroupThatCannotBeGivenLosesItsRights) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  ASSERT_EQ(::chmod(dir_.path().c_str(), 0777), 0);
  const int status = InChild([&] {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) return 1;
    const Ownership wanted{.mode = 0664, .uid = 1234, .gid = 2345};
    return files_.Open(At("f"), OpenMode::kCreateNew, wanted) ? 0 : 2;
  });
  ASSERT_EQ(status, 0);
  ASSERT_OK_AND_ASSIGN(const FileInfo info, files_.Stat(At("f")));
  EXPECT_EQ(info.ownership, (Ownership{.mode = 0644, .uid = 65534, .gid = 65534}));
}

TEST_F(PosixFileSystemTest, MissingRightsAreNamedWithThePath) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  EXPECT_OK(files_.Open(At("f"), OpenMode::kCreateNew, {.mode = 0600}));
  ASSERT_EQ(::chmod(dir_.path().c_str(), 0755), 0);
  const int status = InChild([&] {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) return 1;
    auto file = files_.Open(At("f"), OpenMode::kRead);
    if (file || file.error().code() != Errc::kPermissionDenied) return 2;
    return file.error().message().find(At("f").native()) == std::string::npos ? 3 : 0;
  });
  EXPECT_EQ(status, 0);
}

TEST_F(PosixFileSystemTest, DescriptorsAreClosedAndNotInherited) {
  int fd = -1;
  {
    ASSERT_OK_AND_ASSIGN(auto file, files_.Open(At("f"), OpenMode::kCreateNew));
    fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC) - 1;
    EXPECT_EQ(::fcntl(fd, F_GETFD), FD_CLOEXEC);
    ::close(fd + 1);
  }
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

TEST_F(PosixFileSystemTest, ALockKeepsOtherProcessesOutAndDiesWithItsHolder) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto lock = files_.Lock(At("lock"), {.mode = 0600});
    const char answer = lock ? 'y' : 'n';
    if (::write(ready[1], &answer, 1) != 1) ::_exit(1);
    while (true) ::pause();
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  EXPECT_FAILS(Errc::kBusy, files_.Lock(At("lock"), {.mode = 0600}));
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_OK(files_.Lock(At("lock"), {.mode = 0600}));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(PosixFileSystemTest, AWriteThatHitsTheSizeLimitFails) {
  const int status = InChild([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{.rlim_cur = 10'000, .rlim_max = 10'000};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
    auto file = files_.Open(At("f"), OpenMode::kCreateNew);
    if (!file) return 2;
    // The kernel takes the first 10,000 bytes and reports a short write.
    auto written = (*file)->WriteAt(0, Bytes(20'000));
    return !written && written.error().code() == Errc::kNoSpace ? 0 : 3;
  });
  EXPECT_EQ(status, 0);
}

TEST_F(PosixFileSystemTest, SymbolicLinksAreFollowedButListedAsWhatTheyAre) {
  ASSERT_EQ(::mkdir(At("real").c_str(), 0700), 0);
  ASSERT_EQ(::symlink("real", At("link").c_str()), 0);
  ASSERT_OK_AND_ASSIGN(const FileInfo info, files_.Stat(At("link")));
  EXPECT_EQ(info.type, FileType::kDirectory);
  ASSERT_OK_AND_ASSIGN(const auto entries, files_.List(dir_.path()));
  for (const DirectoryEntry& entry : entries) {
    EXPECT_EQ(entry.type, entry.name == "link" ? FileType::kSymbolicLink : FileType::kDirectory);
  }
  ASSERT_OK(files_.Remove(At("link")));
  EXPECT_OK(files_.Stat(At("real")));
}

TEST_F(PosixFileSystemTest, ADanglingLinkIsNotFoundInsteadOfAnEndlessLoop) {
  ASSERT_EQ(::symlink("nowhere/at/all", At("link").c_str()), 0);
  EXPECT_FAILS(Errc::kNotFound, files_.Open(At("link"), OpenMode::kCreate));
}

TEST_F(PosixFileSystemTest, FifosAndDirectoriesAreNotRegular) {
  ASSERT_EQ(::mkfifo(At("fifo").c_str(), 0600), 0);
  ASSERT_OK_AND_ASSIGN(const FileInfo info, files_.Stat(At("fifo")));
  EXPECT_EQ(info.type, FileType::kOther);
}

}  // namespace
}  // namespace runnel::fs
