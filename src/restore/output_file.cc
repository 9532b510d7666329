#include "restore/output_file.h"

#include <fmt/format.h>

#include <array>
#include <ranges>
#include <utility>

#include "fs/file_operations.h"
#include "fs/temporary.h"

namespace runnel::restore {
namespace {

constexpr std::array kSidecars = {"-wal", "-shm", "-journal"};

fs::Path WithSuffix(const fs::Path& path, const char* suffix) {
  fs::Path result = path;
  result += suffix;
  return result;
}

// Nothing if the file is not there.
Result<std::optional<fs::FileInfo>> StatIfThere(fs::FileSystem& file_system, const fs::Path& path) {
  auto info = file_system.Stat(path);
  if (info) return std::optional(*std::move(info));
  if (info.error().code() == Errc::kNotFound) return std::nullopt;
  return Fail(std::move(info).error());
}

Result<void> RemoveIfThere(fs::FileSystem& file_system, const fs::Path& path) {
  auto removed = file_system.Remove(path);
  if (!removed && removed.error().code() != Errc::kNotFound) return removed;
  return {};
}

void RemoveQuietly(fs::FileSystem& file_system, const fs::Path& path) {
  // Clean-up after a failure, which is what the caller reports.
  auto removed = file_system.Remove(path);
  static_cast<void>(removed);
}

}  // namespace

Result<void> CheckOutput(fs::FileSystem& file_system, const fs::Path& path, Overwrite overwrite) {
  if (path.filename().empty()) {
    return Fail(Errc::kInvalidArgument, fmt::format("'{}' names no file", path.string()));
  }
  RUNNEL_TRY(const auto info, StatIfThere(file_system, path));
  if (info && info->type != fs::FileType::kRegular) {
    return Fail(Errc::kInvalidArgument,
                fmt::format("{} is there and is not a regular file", path.string()));
  }
  if (overwrite == Overwrite::kReplace) return {};
  if (info && info->size_bytes > 0) {
    return Fail(Errc::kAlreadyExists,
                fmt::format("{} is there and not empty: restore to another place with -o, or "
                            "replace it with -force",
                            path.string()));
  }
  for (const char* suffix : kSidecars) {
    const fs::Path sidecar = WithSuffix(path, suffix);
    RUNNEL_TRY(const auto leftover, StatIfThere(file_system, sidecar));
    if (leftover) {
      return Fail(Errc::kAlreadyExists,
                  fmt::format("{} is there: it belongs to another database and would damage the "
                              "restored one",
                              sidecar.string()));
    }
  }
  return {};
}

OutputFile::OutputFile(fs::FileSystem& file_system, fs::Path path, Options options)
    : file_system_(file_system),
      path_(std::move(path)),
      temp_path_(fs::TemporaryPath(path_)),
      folder_(fs::ParentDirectory(path_)),
      options_(options) {}

Result<std::unique_ptr<OutputFile>> OutputFile::Create(fs::FileSystem& file_system, fs::Path path,
                                                       std::uint64_t size_bytes, Options options) {
  RUNNEL_TRY_VOID(CheckOutput(file_system, path, options.overwrite));
  std::unique_ptr<OutputFile> output(new OutputFile(file_system, std::move(path), options));
  RUNNEL_TRY_VOID(output->MakeFolders());
  RUNNEL_TRY_VOID(output->CheckRoom(size_bytes));
  RUNNEL_TRY(const fs::Ownership ownership, output->ChooseOwnership());
  RUNNEL_TRY_VOID(output->LockTemp(ownership));
  RUNNEL_TRY(output->file_, file_system.Open(output->temp_path_, fs::OpenMode::kReadWrite));
  RUNNEL_TRY_VOID(output->file_->Allocate(size_bytes));
  return output;
}

OutputFile::~OutputFile() {
  if (state_ == State::kPublished || state_ == State::kKept) return;
  file_.reset();
  // Without the lock the temporary file is another restore's.
  if (lock_ != nullptr) {
    for (const char* suffix : kSidecars) {
      RemoveQuietly(file_system_, WithSuffix(temp_path_, suffix));
    }
    RemoveQuietly(file_system_, temp_path_);
  }
  for (const fs::Path& folder : std::views::reverse(made_folders_)) {
    RemoveQuietly(file_system_, folder);
  }
}

Result<void> OutputFile::MakeFolders() {
  fs::Path existing = folder_;
  std::optional<fs::FileInfo> info;
  std::vector<fs::Path> missing;  // innermost first
  while (true) {
    RUNNEL_TRY(info, StatIfThere(file_system_, existing));
    if (info) break;
    missing.push_back(existing);
    const fs::Path parent = fs::ParentDirectory(existing);
    if (parent == existing) return Fail(Errc::kNotFound, "no folder " + existing.string());
    existing = parent;
  }
  for (const fs::Path& folder : std::views::reverse(missing)) {
    made_folders_.push_back(folder);
    RUNNEL_TRY_VOID(file_system_.CreateDirectories(folder, info->ownership));
    RUNNEL_TRY_VOID(file_system_.SyncDirectory(fs::ParentDirectory(folder)));
  }
  return {};
}

Result<void> OutputFile::CheckRoom(std::uint64_t size_bytes) {
  RUNNEL_TRY(const std::uint64_t room, file_system_.FreeBytes(folder_));
  if (room >= size_bytes) return {};
  return Fail(Errc::kNoSpace, fmt::format("the database has {} bytes, {} has room for {}",
                                          size_bytes, folder_.string(), room));
}

Result<fs::Ownership> OutputFile::ChooseOwnership() {
  if (options_.ownership) return *options_.ownership;
  RUNNEL_TRY(const auto old, StatIfThere(file_system_, path_));
  if (old) return old->ownership;
  RUNNEL_TRY(const fs::FileInfo folder, file_system_.Stat(folder_));
  return fs::Ownership{.mode = 0600, .uid = folder.ownership.uid, .gid = folder.ownership.gid};
}

Result<void> OutputFile::LockTemp(const fs::Ownership& ownership) {
  // At most one leftover is in the way; a second one is somebody at work.
  for (int attempt = 0; attempt < 2; ++attempt) {
    auto lock = file_system_.Lock(temp_path_, ownership);
    if (!lock) return Fail(std::move(lock).error().Context("another restore may be running"));
    lock_ = *std::move(lock);
    RUNNEL_TRY(const fs::FileInfo info, file_system_.Stat(temp_path_));
    if (info.size_bytes == 0) {
      for (const char* suffix : kSidecars) {
        RUNNEL_TRY_VOID(RemoveIfThere(file_system_, WithSuffix(temp_path_, suffix)));
      }
      return {};
    }
    // Removed and made anew, so that mode and owner are right.
    RUNNEL_TRY_VOID(file_system_.Remove(temp_path_));
    lock_.reset();
  }
  return Fail(Errc::kBusy, fmt::format("another restore is writing {}", temp_path_.string()));
}

Result<void> OutputFile::Publish() {
  for (const char* suffix : kSidecars) {
    RUNNEL_TRY_VOID(RemoveIfThere(file_system_, WithSuffix(temp_path_, suffix)));
  }
  RUNNEL_TRY_VOID(file_->Sync());
  // Had somebody removed our temporary file and made another, the rename would move a stranger.
  RUNNEL_TRY(const fs::FileInfo ours, file_->Info());
  RUNNEL_TRY(const fs::FileInfo named, file_system_.Stat(temp_path_));
  if (ours.identity != named.identity) {
    lock_.reset();
    return Fail(Errc::kBusy, fmt::format("{} was replaced by somebody", temp_path_.string()));
  }
  RUNNEL_TRY_VOID(CheckOutput(file_system_, path_, options_.overwrite));
  auto moved = MoveIntoPlace();
  if (moved || !old_removed_) return moved;
  if (state_ == State::kPublished) return moved;
  state_ = State::kKept;
  return Fail(std::move(moved).error().Context(
      fmt::format("the old database is removed, the restored one is whole but still at {}",
                  temp_path_.string())));
}

// The old database goes before its -wal and -journal: without them it might be an older or a torn
// one that looks whole.
Result<void> OutputFile::RemoveOld() {
  RUNNEL_TRY(const auto old, StatIfThere(file_system_, path_));
  if (old) {
    RUNNEL_TRY_VOID(file_system_.Remove(path_));
    old_removed_ = old->size_bytes > 0;
    RUNNEL_TRY_VOID(file_system_.SyncDirectory(folder_));
  }
  bool removed_sidecar = false;
  for (const char* suffix : kSidecars) {
    const fs::Path sidecar = WithSuffix(path_, suffix);
    RUNNEL_TRY(const auto leftover, StatIfThere(file_system_, sidecar));
    if (!leftover) continue;
    RUNNEL_TRY_VOID(file_system_.Remove(sidecar));
    removed_sidecar = true;
  }
  if (removed_sidecar) return file_system_.SyncDirectory(folder_);
  return {};
}

Result<void> OutputFile::MoveIntoPlace() {
  RUNNEL_TRY_VOID(RemoveOld());
  if (auto renamed = file_system_.RenameNoReplace(temp_path_, path_); !renamed) {
    // It may have been done all the same.
    RUNNEL_TRY(const fs::FileInfo ours, file_->Info());
    RUNNEL_TRY(const auto there, StatIfThere(file_system_, path_));
    if (!there || there->identity != ours.identity) return renamed;
  }
  auto synced = file_system_.SyncDirectory(folder_);
  if (synced || old_removed_) {
    state_ = State::kPublished;
    return synced;
  }
  // A name that may be gone after a power loss is not a success; then it is better gone now.
  RemoveQuietly(file_system_, path_);
  return synced;
}

}  // namespace runnel::restore
