// Whether a file system can carry a live database. SQLite's -shm is memory shared through the
// file; over a network it is not the same memory, and inotify does not tell of the other side's
// writes. Both fail silently, so what is not known to be local is not trusted.

#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "fs/file_system.h"

namespace runnel::fs {

enum class FileSystemClass : std::uint8_t {
  kLocal,
  kNetwork,  // or shared with another kernel: nfs, smb, 9p, virtiofs, fuse, cluster file systems
  kUnknown,
};

struct FileSystemKind {
  FileSystemClass file_system_class = FileSystemClass::kUnknown;
  std::string name;  // "ext4", "nfs"; the magic number in hex where it has no name here
};

// By the magic number that statfs(2) reports.
FileSystemKind ClassifyFileSystem(std::uint64_t magic);

// Of the file system that holds `path`, which must exist.
Result<FileSystemKind> FindFileSystemKind(const Path& path);

}  // namespace runnel::fs
