#include "testing/memory_file_system.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "testing/memory_file_tree.h"

namespace runnel::testing {
namespace {

std::unexpected<Error> FailAt(Errc code, const fs::Path& path, std::string_view what) {
  return Fail(code, path.native() + ": " + std::string(what));
}

bool IsDirectory(const MemoryInodePtr& inode) { return inode->type == fs::FileType::kDirectory; }

bool IsBelow(const MemoryInodePtr& inode, const MemoryInodePtr& directory) {
  if (inode == directory) return true;
  return std::ranges::any_of(directory->entries, [&](const auto& entry) {
    return IsDirectory(entry.second) && IsBelow(inode, entry.second);
  });
}

}  // namespace

// All that the file system, its open files and its locks share. The mutex is taken by them; every
// function here is called with it held.
class MemoryFileSystem::State {
 public:
  State(Clock& clock, MemoryFileSystemOptions options) : clock_(clock), options_(options) {}

  Result<MemoryPlace> FindExisting(const fs::Path& path) {
    RUNNEL_TRY(MemoryPlace place, tree.Find(path));
    if (!place.inode) return FailAt(Errc::kNotFound, path, "not found");
    return place;
  }

  MemoryInodePtr Make(const MemoryPlace& place, fs::FileType type, const fs::Ownership& ownership) {
    auto inode = std::make_shared<MemoryInode>();
    inode->number = ++last_inode_;
    inode->type = type;
    inode->ownership = ownership;
    inode->modified = inode->durable_modified = clock_.Now();
    tree.Link(place, inode);
    return inode;
  }

  fs::FileInfo Info(const MemoryInode& inode) const {
    return {.type = inode.type,
            .size_bytes = inode.content.size(),
            .modified = inode.modified,
            .identity = {.device = 1, .inode = inode.number},
            .ownership = inode.ownership};
  }

  // Takes as much of `bytes` as there is room for.
  Result<void> Write(MemoryInode& inode, std::uint64_t offset, ByteView bytes) {
    const std::size_t fit = inode.content.FitInto(FreeBlocks(), offset, bytes.size());
    const std::uint64_t before = inode.content.block_count();
    inode.content.Write(offset, bytes.first(fit));
    used_blocks_ += inode.content.block_count() - before;
    inode.modified = clock_.Now();
    if (fit < bytes.size()) return Fail(Errc::kNoSpace, "write: no space left");
    return {};
  }

  void Truncate(MemoryInode& inode, std::uint64_t size) {
    const std::uint64_t before = inode.content.block_count();
    inode.content.Truncate(size);
    used_blocks_ -= before - inode.content.block_count();
    inode.modified = clock_.Now();
  }

  // To be called when a name or an open file of it went away. The content stays: until the removal
  // is durable a power loss can bring the name back.
  void ReleaseIfUnused(const MemoryInode& inode) {
    if (inode.open_count == 0 && inode.name_count == 0) used_blocks_ -= inode.content.block_count();
  }

  void DropHandles() {
    ++generation;
    open_file_count = 0;
    lock_count = 0;
    used_blocks_ = 0;
    for (const MemoryInodePtr& inode : tree.Reachable()) {
      inode->open_count = 0;
      inode->locked = false;
      used_blocks_ += inode->content.block_count();
    }
  }

  std::uint64_t FreeBlocks() const {
    const std::uint64_t total = options_.capacity_bytes / MemoryContent::kBlockBytes;
    return total > used_blocks_ ? total - used_blocks_ : 0;
  }

  void SetCapacity(std::uint64_t bytes) { options_.capacity_bytes = bytes; }
  bool MayOpenAnother() const { return open_file_count < options_.open_files_max; }

  mutable std::mutex mutex;
  MemoryFileTree tree;
  std::uint64_t generation = 0;  // files and locks of an earlier one are dead
  std::size_t open_file_count = 0;
  std::size_t lock_count = 0;

 private:
  Clock& clock_;
  MemoryFileSystemOptions options_;
  std::uint64_t last_inode_ = 1;
  std::uint64_t used_blocks_ = 0;
};

class MemoryFileSystem::OpenFile final : public fs::File {
 public:
  enum class Access : std::uint8_t { kRead, kReadWrite };

  // With the state's mutex held.
  OpenFile(std::shared_ptr<State> state, MemoryInodePtr inode, fs::Path path, Access access)
      : state_(std::move(state)),
        inode_(std::move(inode)),
        path_(std::move(path)),
        access_(access),
        generation_(state_->generation) {
    ++state_->open_file_count;
    ++inode_->open_count;
  }

  ~OpenFile() override {
    const std::lock_guard lock(state_->mutex);
    if (generation_ != state_->generation) return;
    --state_->open_file_count;
    --inode_->open_count;
    state_->ReleaseIfUnused(*inode_);
  }

  Result<std::size_t> ReadAt(std::uint64_t offset, MutableBytes out) override {
    const std::lock_guard lock(state_->mutex);
    RUNNEL_TRY_VOID(Check());
    return inode_->content.Read(offset, out);
  }

  Result<void> WriteAt(std::uint64_t offset, ByteView bytes) override {
    const std::lock_guard lock(state_->mutex);
    RUNNEL_TRY_VOID(CheckWritable());
    auto written = state_->Write(*inode_, offset, bytes);
    if (!written) return Fail(std::move(written).error().Context(path_.native()));
    return {};
  }

  Result<void> Truncate(std::uint64_t size_bytes) override {
    const std::lock_guard lock(state_->mutex);
    RUNNEL_TRY_VOID(CheckWritable());
    state_->Truncate(*inode_, size_bytes);
    return {};
  }

  // Of the file systems that cannot set room aside.
  Result<void> Allocate(std::uint64_t size_bytes) override {
    const std::lock_guard lock(state_->mutex);
    RUNNEL_TRY_VOID(CheckWritable());
    if (state_->Info(*inode_).size_bytes < size_bytes) state_->Truncate(*inode_, size_bytes);
    return {};
  }

  // What a power loss leaves of unsynced writes is any part of them, so there is nothing to do.
  void StartWriteBack(std::uint64_t /*offset*/, std::uint64_t /*size_bytes*/) override {}

  Result<void> Sync() override {
    const std::lock_guard lock(state_->mutex);
    RUNNEL_TRY_VOID(Check());
    inode_->content.Sync();
    inode_->durable_modified = inode_->modified;
    return {};
  }

  Result<fs::FileInfo> Info() override {
    const std::lock_guard lock(state_->mutex);
    RUNNEL_TRY_VOID(Check());
    return state_->Info(*inode_);
  }

 private:
  Result<void> Check() const {
    if (generation_ == state_->generation) return {};
    return FailAt(Errc::kIo, path_, "opened before the power loss or by a dead process");
  }

  Result<void> CheckWritable() const {
    RUNNEL_TRY_VOID(Check());
    if (access_ == Access::kReadWrite) return {};
    return FailAt(Errc::kIo, path_, "opened for reading only");
  }

  const std::shared_ptr<State> state_;
  const MemoryInodePtr inode_;
  const fs::Path path_;
  const Access access_;
  const std::uint64_t generation_;
};

class MemoryFileSystem::HeldLock final : public fs::FileLock {
 public:
  // With the state's mutex held.
  HeldLock(std::shared_ptr<State> state, MemoryInodePtr inode)
      : state_(std::move(state)), inode_(std::move(inode)), generation_(state_->generation) {
    inode_->locked = true;
    ++state_->lock_count;
  }

  ~HeldLock() override {
    const std::lock_guard lock(state_->mutex);
    if (generation_ != state_->generation) return;
    inode_->locked = false;
    --state_->lock_count;
  }

 private:
  const std::shared_ptr<State> state_;
  const MemoryInodePtr inode_;
  const std::uint64_t generation_;
};

MemoryFileSystem::MemoryFileSystem(Clock& clock, MemoryFileSystemOptions options)
    : state_(std::make_shared<State>(clock, options)) {}

MemoryFileSystem::~MemoryFileSystem() = default;

Result<std::unique_ptr<fs::File>> MemoryFileSystem::Open(const fs::Path& path, fs::OpenMode mode,
                                                         const fs::Ownership& ownership) {
  const std::lock_guard lock(state_->mutex);
  RUNNEL_TRY(MemoryPlace place, state_->tree.Find(path));
  const bool may_make = mode == fs::OpenMode::kCreate || mode == fs::OpenMode::kCreateNew;
  if (!place.inode && !may_make) return FailAt(Errc::kNotFound, path, "not found");
  if (place.inode && mode == fs::OpenMode::kCreateNew) {
    return FailAt(Errc::kAlreadyExists, path, "already there");
  }
  if (place.inode && IsDirectory(place.inode)) {
    return FailAt(Errc::kInvalidArgument, path, "is a directory");
  }
  if (!state_->MayOpenAnother()) return FailAt(Errc::kUnavailable, path, "too many open files");
  if (!place.inode) place.inode = state_->Make(place, fs::FileType::kRegular, ownership);
  const auto access =
      mode == fs::OpenMode::kRead ? OpenFile::Access::kRead : OpenFile::Access::kReadWrite;
  return std::make_unique<OpenFile>(state_, std::move(place.inode), path, access);
}

Result<fs::FileInfo> MemoryFileSystem::Stat(const fs::Path& path) {
  const std::lock_guard lock(state_->mutex);
  RUNNEL_TRY(const MemoryPlace place, state_->FindExisting(path));
  return state_->Info(*place.inode);
}

Result<void> MemoryFileSystem::Rename(const fs::Path& from, const fs::Path& to) {
  const std::lock_guard lock(state_->mutex);
  RUNNEL_TRY(const MemoryPlace source, state_->FindExisting(from));
  RUNNEL_TRY(const MemoryPlace target, state_->tree.Find(to));
  if (source.inode == target.inode) return {};
  if (!source.directory || !target.directory || IsBelow(target.directory, source.inode)) {
    return FailAt(Errc::kInvalidArgument, to, "cannot be moved there");
  }
  if (target.inode) {
    if (IsDirectory(target.inode) != IsDirectory(source.inode)) {
      return FailAt(Errc::kInvalidArgument, to, "one is a directory, the other is not");
    }
    if (!target.inode->entries.empty()) return FailAt(Errc::kAlreadyExists, to, "not empty");
  }
  state_->tree.Move(source, target);
  if (target.inode) state_->ReleaseIfUnused(*target.inode);
  return {};
}

Result<void> MemoryFileSystem::RenameNoReplace(const fs::Path& from, const fs::Path& to) {
  const std::lock_guard lock(state_->mutex);
  RUNNEL_TRY(const MemoryPlace source, state_->FindExisting(from));
  RUNNEL_TRY(const MemoryPlace target, state_->tree.Find(to));
  if (target.inode) return FailAt(Errc::kAlreadyExists, to, "already there");
  if (!source.directory || IsBelow(target.directory, source.inode)) {
    return FailAt(Errc::kInvalidArgument, to, "cannot be moved there");
  }
  state_->tree.Move(source, target);
  return {};
}

Result<void> MemoryFileSystem::Remove(const fs::Path& path) {
  const std::lock_guard lock(state_->mutex);
  RUNNEL_TRY(const MemoryPlace place, state_->FindExisting(path));
  if (!place.directory) return FailAt(Errc::kInvalidArgument, path, "is the root");
  if (!place.inode->entries.empty()) return FailAt(Errc::kAlreadyExists, path, "not empty");
  state_->tree.Unlink(place);
  state_->ReleaseIfUnused(*place.inode);
  return {};
}

Result<void> MemoryFileSystem::CreateDirectories(const fs::Path& path,
                                                 const fs::Ownership& ownership) {
  const std::lock_guard lock(state_->mutex);
  fs::Ownership searchable = ownership;
  searchable.mode |= (ownership.mode & 0444U) >> 2;
  fs::Path so_far;
  for (const fs::Path& part : path.lexically_normal()) {
    so_far /= part;
    RUNNEL_TRY(MemoryPlace place, state_->tree.Find(so_far));
    if (!place.inode) place.inode = state_->Make(place, fs::FileType::kDirectory, searchable);
    if (!IsDirectory(place.inode)) {
      return FailAt(Errc::kInvalidArgument, so_far, "there is a file of that name");
    }
  }
  return {};
}

Result<std::vector<fs::DirectoryEntry>> MemoryFileSystem::List(const fs::Path& path) {
  const std::lock_guard lock(state_->mutex);
  RUNNEL_TRY(const MemoryPlace place, state_->FindExisting(path));
  if (!IsDirectory(place.inode)) return FailAt(Errc::kNotFound, path, "not a directory");
  std::vector<fs::DirectoryEntry> entries;
  for (const auto& [name, inode] : place.inode->entries) {
    entries.push_back({.name = name, .type = inode->type});
  }
  return entries;
}

Result<void> MemoryFileSystem::SyncDirectory(const fs::Path& path) {
  const std::lock_guard lock(state_->mutex);
  RUNNEL_TRY(const MemoryPlace place, state_->FindExisting(path));
  if (!IsDirectory(place.inode)) return FailAt(Errc::kNotFound, path, "not a directory");
  state_->tree.SyncDirectory(place.inode);
  return {};
}

Result<void> MemoryFileSystem::SetModified(const fs::Path& path, WallTime time) {
  const std::lock_guard lock(state_->mutex);
  RUNNEL_TRY(const MemoryPlace place, state_->FindExisting(path));
  place.inode->modified = time;
  return {};
}

Result<std::unique_ptr<fs::FileLock>> MemoryFileSystem::Lock(const fs::Path& path,
                                                             const fs::Ownership& ownership) {
  const std::lock_guard lock(state_->mutex);
  RUNNEL_TRY(MemoryPlace place, state_->tree.Find(path));
  if (!place.inode) place.inode = state_->Make(place, fs::FileType::kRegular, ownership);
  if (place.inode->locked) return FailAt(Errc::kBusy, path, "locked by another");
  return std::make_unique<HeldLock>(state_, std::move(place.inode));
}

Result<std::uint64_t> MemoryFileSystem::FreeBytes(const fs::Path& path) {
  const std::lock_guard lock(state_->mutex);
  RUNNEL_TRY_VOID(state_->FindExisting(path));
  return state_->FreeBlocks() * MemoryContent::kBlockBytes;
}

void MemoryFileSystem::PowerLoss(Random& random) {
  const std::lock_guard lock(state_->mutex);
  const auto names = static_cast<Survival>(random.NextU64() % (kSurvivalMax + 1));
  const auto content = static_cast<Survival>(random.NextU64() % (kSurvivalMax + 1));
  state_->tree.LosePower(random, names, content);
  state_->DropHandles();
}

void MemoryFileSystem::ProcessDies() {
  const std::lock_guard lock(state_->mutex);
  state_->DropHandles();
}

void MemoryFileSystem::SyncEverything() {
  const std::lock_guard lock(state_->mutex);
  state_->tree.SyncEverything();
}

void MemoryFileSystem::SetCapacity(std::uint64_t bytes) {
  const std::lock_guard lock(state_->mutex);
  state_->SetCapacity(bytes);
}

std::size_t MemoryFileSystem::open_file_count() const {
  const std::lock_guard lock(state_->mutex);
  return state_->open_file_count;
}

std::size_t MemoryFileSystem::lock_count() const {
  const std::lock_guard lock(state_->mutex);
  return state_->lock_count;
}

}  // namespace runnel::testing
