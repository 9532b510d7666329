#include "fs/file_operations.h"

#include <algorithm>
#include <optional>
#include <string>

#include "fs/temporary.h"

namespace runnel::fs {
namespace {

Result<void> RemoveIfThere(FileSystem& files, const Path& path) {
  auto removed = files.Remove(path);
  if (!removed && removed.error().code() != Errc::kNotFound) return removed;
  return {};
}

Result<void> WriteNewFile(FileSystem& files, const Path& path, ByteView content,
                          const Ownership& ownership) {
  RUNNEL_TRY(auto file, files.Open(path, OpenMode::kCreateNew, ownership));
  RUNNEL_TRY_VOID(file->WriteAt(0, content));
  return file->Sync();
}

// Without a slash at the end, which would be an empty last part.
Path Trimmed(const Path& path) {
  Path trimmed = path.lexically_normal();
  if (!trimmed.has_filename() && trimmed.has_relative_path()) trimmed = trimmed.parent_path();
  return trimmed;
}

Result<bool> Exists(FileSystem& files, const Path& path) {
  auto info = files.Stat(path);
  if (info) return true;
  if (info.error().code() == Errc::kNotFound) return false;
  return Fail(std::move(info).error());
}

}  // namespace

Path ParentDirectory(const Path& path) {
  if (!path.has_parent_path()) return ".";
  return path.parent_path();
}

Result<void> ReplaceFile(FileSystem& files, const Path& path, ByteView content,
                         const Ownership& ownership) {
  const Path temporary = TemporaryPath(path);
  RUNNEL_TRY_VOID(RemoveIfThere(files, temporary));
  auto written = WriteNewFile(files, temporary, content, ownership);
  if (written) written = files.Rename(temporary, path);
  if (!written) {
    // The first failure is the one to tell; what stays behind is only a temporary file.
    (void)files.Remove(temporary);
    return written;
  }
  return files.SyncDirectory(ParentDirectory(path));
}

Result<Bytes> ReadFile(FileSystem& files, const Path& path, std::size_t size_max_bytes) {
  RUNNEL_TRY(auto file, files.Open(path, OpenMode::kRead));
  RUNNEL_TRY(const FileInfo info, file->Info());
  if (info.size_bytes > size_max_bytes) {
    return Fail(Errc::kCorruption,
                path.native() + ": larger than " + std::to_string(size_max_bytes) + " bytes");
  }
  Bytes content(static_cast<std::size_t>(info.size_bytes));
  RUNNEL_TRY(const std::size_t size, file->ReadAt(0, content));
  content.resize(size);
  return content;
}

Result<void> CreateDirectoriesDurably(FileSystem& files, const Path& first, const Path& path,
                                      const Ownership& ownership) {
  const Path last = Trimmed(path);
  const Path top = Trimmed(first);

  // Every directory whose entry in its parent may not be durable yet: those from `top` down, and
  // the missing ones above it. One that is there already may have been made a moment ago by
  // somebody who has not come to syncing it.
  std::vector<Path> unsure;
  bool above_top = false;
  for (Path at = last; at.has_relative_path(); at = at.parent_path()) {
    if (above_top) {
      RUNNEL_TRY(const bool exists, Exists(files, at));
      if (exists) break;
    }
    unsure.push_back(at);
    if (at == top) above_top = true;
  }
  RUNNEL_TRY_VOID(files.CreateDirectories(last, ownership));
  std::ranges::reverse(unsure);
  for (const Path& directory : unsure) {
    RUNNEL_TRY_VOID(files.SyncDirectory(ParentDirectory(directory)));
  }
  return {};
}

Result<void> RemoveTree(FileSystem& files, const Path& path) {
  auto removed = RemoveIfThere(files, path);
  if (removed || removed.error().code() != Errc::kAlreadyExists) return removed;
  RUNNEL_TRY(const auto entries, files.List(path));
  for (const DirectoryEntry& entry : entries) {
    const Path child = path / entry.name;
    if (entry.type == FileType::kDirectory) {
      RUNNEL_TRY_VOID(RemoveTree(files, child));
    } else {
      RUNNEL_TRY_VOID(RemoveIfThere(files, child));
    }
  }
  return RemoveIfThere(files, path);
}

}  // namespace runnel::fs
