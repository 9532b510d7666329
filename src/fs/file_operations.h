// Operations on whole files and directories, made of the primitive ones.

#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "fs/file_system.h"

namespace runnel::fs {

// Puts a file with this content at `path`, atomically and durably: after a crash at any moment
// the old content or the new one is there, and after a success the new one. One writer at a time
// for a `path` (the temporary name is TemporaryPath()).
Result<void> ReplaceFile(FileSystem& files, const Path& path, ByteView content,
                         const Ownership& ownership);

// The whole of a small file. kCorruption if it is larger than `size_max_bytes`.
Result<Bytes> ReadFile(FileSystem& files, const Path& path, std::size_t size_max_bytes);

// As CreateDirectories(), and after a success the directories survive a power loss, even if
// another process is making the same ones now. Nothing above `first` is synced, unless it was
// missing too: `first` is `path` or above it, the topmost directory that is ours.
Result<void> CreateDirectoriesDurably(FileSystem& files, const Path& first, const Path& path,
                                      const Ownership& ownership);

// Removes `path` and everything below it, following no symbolic link below `path`. Nothing there
// is a success. Not durable until the parent is synced.
Result<void> RemoveTree(FileSystem& files, const Path& path);

// The directory that holds the entry `path`; "." for a name without one.
Path ParentDirectory(const Path& path);

}  // namespace runnel::fs
