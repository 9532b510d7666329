#include "fs/posix_file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <limits>

#include "fs/unique_fd.h"

namespace runnel::fs {
namespace {

// Calls `f` again for as long as a signal interrupts it.
template <class F>
auto Uninterrupted(F f) {
  decltype(f()) result;
  do {
    result = f();
  } while (result < 0 && errno == EINTR);
  return result;
}

// Names the call and the path, e.g. "open /a/b: Permission denied". Reads errno.
std::unexpected<Error> FailErrno(const char* call, const Path& path) {
  const int saved_errno = errno;
  return Fail(Error::FromErrno(saved_errno, std::string(call) + " " + path.native()));
}

FileInfo ToInfo(const struct stat& st) {
  FileInfo info;
  if (S_ISREG(st.st_mode)) info.type = FileType::kRegular;
  if (S_ISDIR(st.st_mode)) info.type = FileType::kDirectory;
  info.size_bytes = static_cast<std::uint64_t>(st.st_size);
  info.modified = WallTime(std::chrono::floor<std::chrono::milliseconds>(
      std::chrono::seconds(st.st_mtim.tv_sec) + std::chrono::nanoseconds(st.st_mtim.tv_nsec)));
  info.identity = {.device = st.st_dev, .inode = st.st_ino};
  info.ownership = {.mode = st.st_mode & 07777U, .uid = st.st_uid, .gid = st.st_gid};
  return info;
}

// What is left of `mode` for a file whose group is not the one that was meant.
std::uint32_t WithoutGroup(std::uint32_t mode) {
  const std::uint32_t others_as_group = (mode & 07U) << 3;
  return (mode & ~070U) | (mode & 070U & others_as_group);
}

// Gives a file that was just made its final owner, then its final mode: in that order, so that
// nobody has more in between.
Result<void> GiveOwnership(int fd, const Path& path, const Ownership& ownership) {
  std::uint32_t mode = ownership.mode & 07777U;
  struct stat st;
  if (::fstat(fd, &st) != 0) return FailErrno("fstat", path);
  if (st.st_uid != ownership.uid || st.st_gid != ownership.gid) {
    const bool given = ::fchown(fd, ownership.uid, ownership.gid) == 0 ||
                       ::fchown(fd, static_cast<uid_t>(-1), ownership.gid) == 0;
    if (!given && st.st_gid != ownership.gid) mode = WithoutGroup(mode);
  }
  if (::fchmod(fd, mode) != 0) return FailErrno("fchmod", path);
  return {};
}

Result<UniqueFd> OpenExisting(const Path& path, int flags) {
  UniqueFd fd(Uninterrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC); }));
  if (!fd.valid()) return FailErrno("open", path);
  return fd;
}

// A directory can be opened for reading, but nothing of it read.
Result<UniqueFd> OpenForReading(const Path& path) {
  RUNNEL_TRY(UniqueFd fd, OpenExisting(path, O_RDONLY));
  struct stat st;
  if (::fstat(fd.get(), &st) != 0) return FailErrno("fstat", path);
  if (!S_ISDIR(st.st_mode)) return fd;
  errno = EISDIR;
  return FailErrno("open", path);
}

Result<UniqueFd> OpenNew(const Path& path, const Ownership& ownership) {
  constexpr int kFlags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
  UniqueFd fd(Uninterrupted([&] { return ::open(path.c_str(), kFlags, 0600); }));
  if (!fd.valid()) return FailErrno("create", path);
  if (auto given = GiveOwnership(fd.get(), path, ownership); !given) {
    ::unlink(path.c_str());
    return Fail(std::move(given).error());
  }
  return fd;
}

// Opens `path`, or makes it. Only a file that this call made gets `ownership`.
Result<UniqueFd> OpenOrCreate(const Path& path, const Ownership& ownership) {
  while (true) {
    auto existing = OpenExisting(path, O_RDWR);
    if (existing || existing.error().code() != Errc::kNotFound) return existing;
    auto made = OpenNew(path, ownership);
    if (made || made.error().code() != Errc::kAlreadyExists) return made;
    // A dangling link is neither there nor can it be made.
    struct stat st;
    if (::lstat(path.c_str(), &st) == 0 && S_ISLNK(st.st_mode)) return existing;
  }
}

class PosixFile final : public File {
 public:
  PosixFile(UniqueFd fd, Path path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<std::size_t> ReadAt(std::uint64_t offset, MutableBytes out) override {
    std::size_t done = 0;
    while (done < out.size()) {
      const ssize_t count = Uninterrupted([&] {
        return ::pread(fd_.get(), out.data() + done, out.size() - done,
                       static_cast<off_t>(offset + done));
      });
      if (count < 0) return FailErrno("read", path_);
      if (count == 0) break;
      done += static_cast<std::size_t>(count);
    }
    return done;
  }

  Result<void> WriteAt(std::uint64_t offset, ByteView bytes) override {
    while (!bytes.empty()) {
      const ssize_t count = Uninterrupted([&] {
        return ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      });
      if (count < 0) return FailErrno("write", path_);
      if (count == 0) return Fail(Errc::kIo, "write " + path_.native() + ": nothing was written");
      offset += static_cast<std::uint64_t>(count);
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    return {};
  }

  Result<void> Truncate(std::uint64_t size_bytes) override {
    const auto size = static_cast<off_t>(size_bytes);
    if (Uninterrupted([&] { return ::ftruncate(fd_.get(), size); }) != 0) {
      return FailErrno("truncate", path_);
    }
    return {};
  }

  Result<void> Allocate(std::uint64_t size_bytes) override {
    RUNNEL_TRY(const FileInfo info, Info());
    if (info.size_bytes >= size_bytes) return {};
    const auto size = static_cast<off_t>(size_bytes);
    // Not posix_fallocate(): where the file system cannot, that writes to every block.
    if (Uninterrupted([&] { return ::fallocate(fd_.get(), 0, 0, size); }) == 0) return {};
    if (errno != EOPNOTSUPP && errno != ENOSYS) return FailErrno("allocate", path_);
    return Truncate(size_bytes);
  }

  // A write that fails is remembered for fsync() by the kernel, which this call does not ask.
  void StartWriteBack(std::uint64_t offset, std::uint64_t size_bytes) override {
    ::sync_file_range(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(size_bytes),
                      SYNC_FILE_RANGE_WRITE);
  }

  // Not fdatasync(): it leaves a time that was set behind.
  Result<void> Sync() override {
    if (Uninterrupted([&] { return ::fsync(fd_.get()); }) != 0) return FailErrno("fsync", path_);
    return {};
  }

  Result<FileInfo> Info() override {
    struct stat st;
    if (::fstat(fd_.get(), &st) != 0) return FailErrno("fstat", path_);
    return ToInfo(st);
  }

 private:
  const UniqueFd fd_;
  const Path path_;
};

class FlockLock final : public FileLock {
 public:
  explicit FlockLock(UniqueFd fd) : fd_(std::move(fd)) {}

 private:
  const UniqueFd fd_;  // closing it gives the lock up
};

FileType ToType(unsigned char d_type) {
  switch (d_type) {
    case DT_REG: return FileType::kRegular;
    case DT_DIR: return FileType::kDirectory;
    case DT_LNK: return FileType::kSymbolicLink;
    default: return FileType::kOther;
  }
}

// For file systems that do not tell the type while listing.
FileType LookUpType(int directory_fd, const char* name) {
  struct stat st;
  if (::fstatat(directory_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) return FileType::kOther;
  if (S_ISLNK(st.st_mode)) return FileType::kSymbolicLink;
  return ToInfo(st).type;
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

Result<void> MakeDirectory(const Path& path, const Ownership& ownership) {
  if (::mkdir(path.c_str(), 0700) != 0) {
    if (errno != EEXIST) return FailErrno("mkdir", path);
    struct stat st;
    if (::stat(path.c_str(), &st) != 0) return FailErrno("stat", path);
    if (S_ISDIR(st.st_mode)) return {};
    return Fail(Errc::kInvalidArgument,
                "mkdir " + path.native() + ": there is a file of that name");
  }
  RUNNEL_TRY(const UniqueFd fd, OpenExisting(path, O_RDONLY | O_DIRECTORY));
  Ownership searchable = ownership;
  searchable.mode |= (ownership.mode & 0444U) >> 2;
  return GiveOwnership(fd.get(), path, searchable);
}

}  // namespace

Result<std::unique_ptr<File>> PosixFileSystem::Open(const Path& path, OpenMode mode,
                                                    const Ownership& ownership) {
  auto fd = [&]() -> Result<UniqueFd> {
    switch (mode) {
      case OpenMode::kRead: return OpenForReading(path);
      case OpenMode::kReadWrite: return OpenExisting(path, O_RDWR);
      case OpenMode::kCreate: return OpenOrCreate(path, ownership);
      case OpenMode::kCreateNew: return OpenNew(path, ownership);
    }
    std::unreachable();
  }();
  if (!fd) return Fail(std::move(fd).error());
  return std::make_unique<PosixFile>(*std::move(fd), path);
}

Result<FileInfo> PosixFileSystem::Stat(const Path& path) {
  struct stat st;
  if (::stat(path.c_str(), &st) != 0) return FailErrno("stat", path);
  return ToInfo(st);
}

Result<void> PosixFileSystem::Rename(const Path& from, const Path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return FailErrno("rename to", to);
  return {};
}

Result<void> PosixFileSystem::RenameNoReplace(const Path& from, const Path& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return {};
  if (errno != EINVAL && errno != ENOSYS) return FailErrno("rename to", to);
  // A file system without the flag. link() is as exclusive; the second name that a crash in
  // between leaves behind is a temporary one.
  if (::link(from.c_str(), to.c_str()) != 0) return FailErrno("link to", to);
  if (::unlink(from.c_str()) != 0) return FailErrno("unlink", from);
  return {};
}

Result<void> PosixFileSystem::Remove(const Path& path) {
  if (::unlink(path.c_str()) == 0) return {};
  if (errno == EISDIR && ::rmdir(path.c_str()) == 0) return {};
  return FailErrno("remove", path);
}

Result<void> PosixFileSystem::CreateDirectories(const Path& path, const Ownership& ownership) {
  struct stat st;
  if (::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) return {};
  Path so_far;
  for (const Path& part : path) {
    so_far /= part;
    if (part.empty() || part == "." || part == ".." || part == "/") continue;
    RUNNEL_TRY_VOID(MakeDirectory(so_far, ownership));
  }
  return {};
}

Result<std::vector<DirectoryEntry>> PosixFileSystem::List(const Path& path) {
  const std::unique_ptr<DIR, CloseDirectory> directory(::opendir(path.c_str()));
  if (!directory) return FailErrno("list", path);
  std::vector<DirectoryEntry> entries;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const FileType type = entry->d_type == DT_UNKNOWN
                              ? LookUpType(::dirfd(directory.get()), entry->d_name)
                              : ToType(entry->d_type);
    entries.push_back({.name = std::move(name), .type = type});
  }
  if (errno != 0) return FailErrno("list", path);
  return entries;
}

Result<void> PosixFileSystem::SyncDirectory(const Path& path) {
  RUNNEL_TRY(const UniqueFd fd, OpenExisting(path.empty() ? "." : path, O_RDONLY | O_DIRECTORY));
  if (Uninterrupted([&] { return ::fsync(fd.get()); }) == 0) return {};
  // Some file systems have nothing to sync for a directory, and say so this way.
  if (errno == EINVAL) return {};
  return FailErrno("fsync", path);
}

Result<void> PosixFileSystem::SetModified(const Path& path, WallTime time) {
  const auto since_epoch = time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
  const auto rest = std::chrono::nanoseconds(since_epoch - seconds);
  const struct timespec times[2] = {
      {.tv_sec = 0, .tv_nsec = UTIME_OMIT},
      {.tv_sec = seconds.count(), .tv_nsec = rest.count()},
  };
  if (::utimensat(AT_FDCWD, path.c_str(), times, 0) != 0) return FailErrno("set time of", path);
  return {};
}

Result<std::unique_ptr<FileLock>> PosixFileSystem::Lock(const Path& path,
                                                        const Ownership& ownership) {
  while (true) {
    RUNNEL_TRY(UniqueFd fd, OpenOrCreate(path, ownership));
    if (Uninterrupted([&] { return ::flock(fd.get(), LOCK_EX | LOCK_NB); }) != 0) {
      if (errno == EWOULDBLOCK) return Fail(Errc::kBusy, "locked by another: " + path.native());
      return FailErrno("flock", path);
    }
    // Between open and flock the name may have come to mean another file; a lock on a file that
    // nobody else finds keeps nobody out.
    struct stat locked;
    struct stat named;
    if (::fstat(fd.get(), &locked) != 0) return FailErrno("fstat", path);
    if (::stat(path.c_str(), &named) != 0) {
      if (errno == ENOENT) continue;
      return FailErrno("stat", path);
    }
    if (locked.st_dev == named.st_dev && locked.st_ino == named.st_ino) {
      return std::make_unique<FlockLock>(std::move(fd));
    }
  }
}

Result<std::uint64_t> PosixFileSystem::FreeBytes(const Path& path) {
  struct statvfs st;
  if (Uninterrupted([&] { return ::statvfs(path.c_str(), &st); }) != 0) {
    return FailErrno("statvfs", path);
  }
  return std::uint64_t{st.f_bavail} * st.f_frsize;
}

}  // namespace runnel::fs
