// Whether a database may be captured where it lies.
//
// SQLite's WAL needs POSIX locks that conflict between processes and memory maps that they share.
// Where either is missing, nothing fails: commits are lost in silence. So both are tried with a
// second process before the first database of a directory is opened.

#pragma once

#include <span>
#include <string>

#include "base/result.h"
#include "fs/file_system.h"
#include "fs/file_system_kind.h"

namespace runnel::sqlite {

// Makes a file without a name that stays in `directory`, and has a child process contend for its
// locks and share a map of it. kUnsupported naming what does not work; kPermissionDenied, kNoSpace
// and so on if it could not be tried. Blocks for some milliseconds, a second at worst.
//
// The child is a fork() that calls nothing but async-signal-safe functions and plain system calls
// and leaves by _exit(), so that a library can do this in a program with threads, and without a
// hidden command in its main().
Result<void> CheckLocksAndSharedMemory(const fs::Path& directory);

// kUnsupported unless `kind`, that of the file system under `directory`, is local, or its name is
// one of `allowed_names`.
Result<void> CheckFileSystemKind(const fs::Path& directory, const fs::FileSystemKind& kind,
                                 std::span<const std::string> allowed_names);

}  // namespace runnel::sqlite
