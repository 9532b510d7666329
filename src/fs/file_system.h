// The disk as the program sees it, so that tests can fill it, fail it, and cut its power.
//
// Not for a database file or its -shm: those are opened by SQLite alone (closing any other
// descriptor on them drops SQLite's locks). A database's -wal may be read through this.

#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"

namespace runnel::fs {

using Path = std::filesystem::path;

// What a file is, whatever it is called.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

// Who may use a file. Files of ours take this from the database, never wider.
struct Ownership {
  std::uint32_t mode = 0600;  // permission bits only
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  friend bool operator==(const Ownership&, const Ownership&) = default;
};

// kSymbolicLink is said only by List(), of the entry itself; everything else follows links.
enum class FileType : std::uint8_t { kRegular, kDirectory, kSymbolicLink, kOther };

struct FileInfo {
  FileType type = FileType::kOther;
  std::uint64_t size_bytes = 0;
  WallTime modified;
  FileIdentity identity;
  Ownership ownership;
};

enum class OpenMode : std::uint8_t {
  kRead,       // must exist
  kReadWrite,  // must exist
  kCreate,     // read and write, made if it is missing
  kCreateNew,  // read and write, kAlreadyExists if it is there
};

// An open file. Offsets are absolute; there is no cursor. Different threads may use one File at
// the same time.
class File {
 public:
  virtual ~File() = default;

  // Fills the front of `out` from `offset`, returns how much: less than asked only at the end.
  virtual Result<std::size_t> ReadAt(std::uint64_t offset, MutableBytes out) = 0;

  // Writes all of `bytes`. After a failure any part of the range may have been written.
  virtual Result<void> WriteAt(std::uint64_t offset, ByteView bytes) = 0;

  virtual Result<void> Truncate(std::uint64_t size_bytes) = 0;

  // Makes the file at least that long, with zeros, and has the file system set the room aside
  // where it can: writes find it, in one piece if there is one. After a failure (kNoSpace) the
  // file may be longer.
  virtual Result<void> Allocate(std::uint64_t size_bytes) = 0;

  // Says that this range will not change soon, so that the disk may begin with it now, and leave
  // less to the next Sync(). Promises nothing, and so cannot fail: what goes wrong is Sync()'s
  // failure.
  virtual void StartWriteBack(std::uint64_t offset, std::uint64_t size_bytes) = 0;

  // Returns once content, size and times are on stable storage. After a failure nothing may be
  // assumed of any write since the last success, even if a later Sync() succeeds.
  virtual Result<void> Sync() = 0;

  virtual Result<FileInfo> Info() = 0;
};

// Held until destroyed.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

struct DirectoryEntry {
  std::string name;
  FileType type = FileType::kOther;
};

// Thread-safe. All paths are taken as they are; symbolic links are followed.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  // A directory is kInvalidArgument.
  // `ownership` is given to a file that is made; the mode is not narrowed by the umask. Setting
  // owner or group without the right to is not an error (a daemon need not run as root), but then
  // the group that the file has instead gets no more than everybody gets.
  virtual Result<std::unique_ptr<File>> Open(const Path& path, OpenMode mode,
                                             const Ownership& ownership = {}) = 0;

  virtual Result<FileInfo> Stat(const Path& path) = 0;  // kNotFound

  // Replaces `to` if it is there, atomically. Durable after SyncDirectory() of both parents.
  virtual Result<void> Rename(const Path& from, const Path& to) = 0;

  // As Rename(), but kAlreadyExists if `to` is there.
  virtual Result<void> RenameNoReplace(const Path& from, const Path& to) = 0;

  // A file, a symbolic link (not what it points to) or an empty directory. kNotFound;
  // kAlreadyExists if the directory is not empty. Files that are open stay usable.
  virtual Result<void> Remove(const Path& path) = 0;

  // Makes `path` and its missing parents. One that is there already is a success. `ownership.mode`
  // gains the search bit wherever it has the read bit.
  virtual Result<void> CreateDirectories(const Path& path, const Ownership& ownership) = 0;

  // In no order, without "." and "..".
  virtual Result<std::vector<DirectoryEntry>> List(const Path& path) = 0;

  virtual Result<void> SyncDirectory(const Path& path) = 0;

  virtual Result<void> SetModified(const Path& path, WallTime time) = 0;

  // An exclusive lock between processes on `path` (made if missing), without waiting: kBusy if
  // another process, or another FileLock of this one, holds it. Gone when its holder dies. The
  // file stays; removing it takes the lock away from its holder.
  virtual Result<std::unique_ptr<FileLock>> Lock(const Path& path, const Ownership& ownership) = 0;

  virtual Result<std::uint64_t> FreeBytes(const Path& path) = 0;
};

}  // namespace runnel::fs
