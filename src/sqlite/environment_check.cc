#include "sqlite/environment_check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <string>

namespace runnel::sqlite {
namespace {

constexpr int kPatienceMs = 1000;
constexpr std::size_t kMapSize = 4096;

// What the two processes say to each other, one byte each. The parent asks, the child answers.
enum class Step : char {
  kLockMustFail = 'f',  // the parent holds the lock
  kLockMustWork = 'w',  // it has released it; the child keeps what it gets
  kMapMustShow = 'm',   // the parent stored kFromParent; the child stores kFromChild
};
enum class Answer : char { kAsExpected = 'y', kNotAsExpected = 'n', kCannotTry = 'e' };

constexpr std::uint32_t kFromParent = 0x52554e4e;
constexpr std::uint32_t kFromChild = 0x454c4c31;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { Close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

class Map {
 public:
  explicit Map(int fd)
      : address_(::mmap(nullptr, kMapSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) {}
  ~Map() {
    if (valid()) ::munmap(address_, kMapSize);
  }
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;

  bool valid() const { return address_ != MAP_FAILED; }
  std::atomic_ref<std::uint32_t> word() const {
    return std::atomic_ref(*static_cast<std::uint32_t*>(address_));
  }

 private:
  void* address_;
};

bool SetLock(int fd, short type) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = 120;  // where SQLite's own lie in a -shm
  lock.l_len = 1;
  return ::fcntl(fd, F_SETLK, &lock) == 0;
}

// The child, from fork() to _exit(). Async-signal-safe calls and plain system calls only: another
// thread may have held any lock of this process, the allocator's too, when it was copied.
Answer AnswerStep(Step step, int file) {
  switch (step) {
    case Step::kLockMustFail:
      if (SetLock(file, F_WRLCK)) return Answer::kNotAsExpected;
      return errno == EAGAIN || errno == EACCES ? Answer::kAsExpected : Answer::kCannotTry;
    case Step::kLockMustWork:
      return SetLock(file, F_WRLCK) ? Answer::kAsExpected : Answer::kNotAsExpected;
    case Step::kMapMustShow: {
      const Map map(file);
      if (!map.valid()) return Answer::kCannotTry;
      if (map.word().load() != kFromParent) return Answer::kNotAsExpected;
      map.word().store(kFromChild);
      return Answer::kAsExpected;
    }
  }
  return Answer::kCannotTry;
}

[[noreturn]] void RunChild(int channel, int file) {
  char step = 0;
  while (::read(channel, &step, 1) == 1) {
    const auto answer = static_cast<char>(AnswerStep(static_cast<Step>(step), file));
    if (::send(channel, &answer, 1, MSG_NOSIGNAL) != 1) break;
  }
  ::_exit(0);
}

class Child {
 public:
  Child(pid_t pid, int channel) : pid_(pid), channel_(channel) {}
  ~Child() {
    channel_.Close();  // it reads the end, and leaves
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  Result<Answer> Ask(Step step) {
    const auto question = static_cast<char>(step);
    if (::send(channel_.get(), &question, 1, MSG_NOSIGNAL) != 1) {
      return Fail(Error::FromErrno(errno, "ask the self-test process"));
    }
    pollfd ready{.fd = channel_.get(), .events = POLLIN, .revents = 0};
    int count = 0;
    do {
      count = ::poll(&ready, 1, kPatienceMs);
    } while (count < 0 && errno == EINTR);
    char answer = 0;
    if (count <= 0 || ::read(channel_.get(), &answer, 1) != 1) {
      return Fail(Errc::kTimedOut, "the self-test process does not answer");
    }
    return static_cast<Answer>(answer);
  }

 private:
  pid_t pid_;
  Descriptor channel_;
};

// Gone with its last descriptor, whatever happens to us.
Result<int> OpenNameless(const fs::Path& directory) {
  int fd = ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
    std::string name = (directory / ".runnel-selftest-XXXXXX").native();
    fd = ::mkostemp(name.data(), O_CLOEXEC);
    if (fd >= 0) ::unlink(name.c_str());
  }
  if (fd < 0) return Fail(Error::FromErrno(errno, directory.native() + ": make a scratch file"));
  return fd;
}

Error Unusable(const fs::Path& directory, const char* what) {
  return {Errc::kUnsupported,
          directory.native() + ": " + what + "; commits would be lost in silence"};
}

Result<void> TryLocks(const fs::Path& directory, Child& child, int file) {
  if (!SetLock(file, F_WRLCK)) {
    return Fail(Unusable(directory, "files here cannot be locked"));
  }
  RUNNEL_TRY(const Answer excluded, child.Ask(Step::kLockMustFail));
  if (excluded != Answer::kAsExpected) {
    return Fail(Unusable(directory, "locks here do not keep other processes out"));
  }
  SetLock(file, F_UNLCK);
  RUNNEL_TRY(const Answer granted, child.Ask(Step::kLockMustWork));
  if (granted != Answer::kAsExpected || SetLock(file, F_WRLCK)) {
    return Fail(Unusable(directory, "locks here do not pass between processes"));
  }
  return {};
}

Result<void> TryMap(const fs::Path& directory, Child& child, int file) {
  const Map map(file);
  if (!map.valid())
    return Fail(Unusable(directory, "files here cannot be mapped as shared memory"));
  map.word().store(kFromParent);
  RUNNEL_TRY(const Answer seen, child.Ask(Step::kMapMustShow));
  if (seen != Answer::kAsExpected || map.word().load() != kFromChild) {
    return Fail(Unusable(directory, "shared memory here is not shared between processes"));
  }
  return {};
}

}  // namespace

Result<void> CheckLocksAndSharedMemory(const fs::Path& directory) {
  RUNNEL_TRY(const int fd, OpenNameless(directory));
  const Descriptor file(fd);
  if (::ftruncate(file.get(), kMapSize) != 0) {
    return Fail(Error::FromErrno(errno, directory.native() + ": extend a scratch file"));
  }
  std::array<int, 2> sockets;
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) != 0) {
    return Fail(Error::FromErrno(errno, "socketpair"));
  }
  Descriptor child_end(sockets[1]);
  const pid_t pid = ::fork();
  if (pid < 0) {
    ::close(sockets[0]);
    return Fail(Error::FromErrno(errno, "fork"));
  }
  if (pid == 0) {
    ::close(sockets[0]);  // or it would never read the end
    RunChild(child_end.get(), file.get());
  }
  child_end.Close();
  Child child(pid, sockets[0]);
  RUNNEL_TRY_VOID(TryLocks(directory, child, file.get()));
  return TryMap(directory, child, file.get());
}

Result<void> CheckFileSystemKind(const fs::Path& directory, const fs::FileSystemKind& kind,
                                 std::span<const std::string> allowed_names) {
  if (kind.file_system_class == fs::FileSystemClass::kLocal) return {};
  if (std::ranges::find(allowed_names, kind.name) != allowed_names.end()) return {};
  const char* why = kind.file_system_class == fs::FileSystemClass::kNetwork
                        ? "shared with other machines"
                        : "not known to be local";
  return Fail(Errc::kUnsupported,
              fmt::format("{}: the file system {} is {}: memory shared by applications and file "
                          "notifications may not work, and commits would be lost in silence "
                          "(it can be allowed by its name)",
                          directory.native(), kind.name, why));
}

}  // namespace runnel::sqlite
