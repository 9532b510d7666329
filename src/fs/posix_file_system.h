// The file system of the machine, through Linux system calls.

#pragma once

#include "fs/file_system.h"

namespace runnel::fs {

// No state; thread-safe.
class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> Open(const Path& path, OpenMode mode,
                                     const Ownership& ownership = {}) override;
  Result<FileInfo> Stat(const Path& path) override;
  Result<void> Rename(const Path& from, const Path& to) override;
  Result<void> RenameNoReplace(const Path& from, const Path& to) override;
  Result<void> Remove(const Path& path) override;
  Result<void> CreateDirectories(const Path& path, const Ownership& ownership) override;
  Result<std::vector<DirectoryEntry>> List(const Path& path) override;
  Result<void> SyncDirectory(const Path& path) override;
  Result<void> SetModified(const Path& path, WallTime time) override;
  Result<std::unique_ptr<FileLock>> Lock(const Path& path, const Ownership& ownership) override;
  Result<std::uint64_t> FreeBytes(const Path& path) override;
};

}  // namespace runnel::fs
