#include "testing/fault_file_system.h"

#include <fmt/format.h>

#include <utility>

namespace runnel::testing {
namespace {

constexpr std::size_t kRecentMax = 40;

Error Injected(const FileCallRecord& record, Errc code) {
  return {code, "injected failure of " + record.ToString()};
}

}  // namespace

std::string_view FileCallName(FileCall call) {
  switch (call) {
    case FileCall::kOpen: return "open";
    case FileCall::kOpenToRead: return "open to read";
    case FileCall::kStat: return "stat";
    case FileCall::kRename: return "rename";
    case FileCall::kRenameNoReplace: return "rename-no-replace";
    case FileCall::kRemove: return "remove";
    case FileCall::kCreateDirectories: return "create-directories";
    case FileCall::kList: return "list";
    case FileCall::kSyncDirectory: return "sync-directory";
    case FileCall::kSetModified: return "set-modified";
    case FileCall::kLock: return "lock";
    case FileCall::kFreeBytes: return "free-bytes";
    case FileCall::kRead: return "read";
    case FileCall::kWrite: return "write";
    case FileCall::kTruncate: return "truncate";
    case FileCall::kAllocate: return "allocate";
    case FileCall::kStartWriteBack: return "start-write-back";
    case FileCall::kSync: return "sync";
    case FileCall::kInfo: return "info";
  }
  std::unreachable();
}

bool IsMutating(FileCall call) {
  switch (call) {
    case FileCall::kOpenToRead:
    case FileCall::kStat:
    case FileCall::kList:
    case FileCall::kFreeBytes:
    case FileCall::kRead:
    case FileCall::kStartWriteBack:
    case FileCall::kInfo: return false;
    default: return true;
  }
}

std::string FileCallRecord::ToString() const {
  std::string text = fmt::format("{} {}", FileCallName(call), path.native());
  if (call == FileCall::kRead || call == FileCall::kWrite || call == FileCall::kStartWriteBack) {
    text += fmt::format(" {} bytes at {}", size, offset);
  }
  return text;
}

// Runs `call` unless this is the one to fail.
template <class T, class F>
Result<T> FaultFileSystem::Do(const FileCallRecord& record, F call) {
  const std::optional<FileFault> fault = Count(record);
  if (!fault) return call();
  if (fault->effect == FileFault::Effect::kWhole) {
    auto done = call();
    if (!done) return done;
  }
  return Fail(Injected(record, fault->code));
}

class FaultFileSystem::FaultFile final : public fs::File {
 public:
  FaultFile(FaultFileSystem& owner, std::unique_ptr<fs::File> file, fs::Path path)
      : owner_(owner), file_(std::move(file)), path_(std::move(path)) {}

  Result<std::size_t> ReadAt(std::uint64_t offset, MutableBytes out) override {
    return owner_.Do<std::size_t>(
        {.call = FileCall::kRead, .path = path_, .offset = offset, .size = out.size()},
        [&] { return file_->ReadAt(offset, out); });
  }

  Result<void> WriteAt(std::uint64_t offset, ByteView bytes) override {
    const FileCallRecord record{
        .call = FileCall::kWrite, .path = path_, .offset = offset, .size = bytes.size()};
    const std::optional<FileFault> fault = owner_.Count(record);
    if (!fault) return file_->WriteAt(offset, bytes);
    std::size_t written = 0;
    if (fault->effect == FileFault::Effect::kPartial) written = bytes.size() / 2;
    if (fault->effect == FileFault::Effect::kWhole) written = bytes.size();
    if (written > 0) RUNNEL_TRY_VOID(file_->WriteAt(offset, bytes.first(written)));
    return Fail(Injected(record, fault->code));
  }

  Result<void> Truncate(std::uint64_t size_bytes) override {
    return owner_.Do<void>({.call = FileCall::kTruncate, .path = path_, .size = size_bytes},
                           [&] { return file_->Truncate(size_bytes); });
  }

  Result<void> Allocate(std::uint64_t size_bytes) override {
    return owner_.Do<void>({.call = FileCall::kAllocate, .path = path_, .size = size_bytes},
                           [&] { return file_->Allocate(size_bytes); });
  }

  void StartWriteBack(std::uint64_t offset, std::uint64_t size_bytes) override {
    owner_.Note(
        {.call = FileCall::kStartWriteBack, .path = path_, .offset = offset, .size = size_bytes});
    file_->StartWriteBack(offset, size_bytes);
  }

  Result<void> Sync() override {
    return owner_.Do<void>({.call = FileCall::kSync, .path = path_}, [&] { return file_->Sync(); });
  }

  Result<fs::FileInfo> Info() override {
    return owner_.Do<fs::FileInfo>({.call = FileCall::kInfo, .path = path_},
                                   [&] { return file_->Info(); });
  }

 private:
  FaultFileSystem& owner_;
  const std::unique_ptr<fs::File> file_;
  const fs::Path path_;
};

Result<std::unique_ptr<fs::File>> FaultFileSystem::Open(const fs::Path& path, fs::OpenMode mode,
                                                        const fs::Ownership& ownership) {
  const FileCall call = mode == fs::OpenMode::kRead ? FileCall::kOpenToRead : FileCall::kOpen;
  RUNNEL_TRY(auto file, Do<std::unique_ptr<fs::File>>({.call = call, .path = path}, [&] {
               return files_.Open(path, mode, ownership);
             }));
  return std::make_unique<FaultFile>(*this, std::move(file), path);
}

Result<fs::FileInfo> FaultFileSystem::Stat(const fs::Path& path) {
  return Do<fs::FileInfo>({.call = FileCall::kStat, .path = path},
                          [&] { return files_.Stat(path); });
}

Result<void> FaultFileSystem::Rename(const fs::Path& from, const fs::Path& to) {
  return Do<void>({.call = FileCall::kRename, .path = from},
                  [&] { return files_.Rename(from, to); });
}

Result<void> FaultFileSystem::RenameNoReplace(const fs::Path& from, const fs::Path& to) {
  return Do<void>({.call = FileCall::kRenameNoReplace, .path = from},
                  [&] { return files_.RenameNoReplace(from, to); });
}

Result<void> FaultFileSystem::Remove(const fs::Path& path) {
  return Do<void>({.call = FileCall::kRemove, .path = path}, [&] { return files_.Remove(path); });
}

Result<void> FaultFileSystem::CreateDirectories(const fs::Path& path,
                                                const fs::Ownership& ownership) {
  return Do<void>({.call = FileCall::kCreateDirectories, .path = path},
                  [&] { return files_.CreateDirectories(path, ownership); });
}

Result<std::vector<fs::DirectoryEntry>> FaultFileSystem::List(const fs::Path& path) {
  return Do<std::vector<fs::DirectoryEntry>>({.call = FileCall::kList, .path = path},
                                             [&] { return files_.List(path); });
}

Result<void> FaultFileSystem::SyncDirectory(const fs::Path& path) {
  return Do<void>({.call = FileCall::kSyncDirectory, .path = path},
                  [&] { return files_.SyncDirectory(path); });
}

Result<void> FaultFileSystem::SetModified(const fs::Path& path, WallTime time) {
  return Do<void>({.call = FileCall::kSetModified, .path = path},
                  [&] { return files_.SetModified(path, time); });
}

Result<std::unique_ptr<fs::FileLock>> FaultFileSystem::Lock(const fs::Path& path,
                                                            const fs::Ownership& ownership) {
  return Do<std::unique_ptr<fs::FileLock>>({.call = FileCall::kLock, .path = path},
                                           [&] { return files_.Lock(path, ownership); });
}

Result<std::uint64_t> FaultFileSystem::FreeBytes(const fs::Path& path) {
  return Do<std::uint64_t>({.call = FileCall::kFreeBytes, .path = path},
                           [&] { return files_.FreeBytes(path); });
}

void FaultFileSystem::FailAt(std::uint64_t n, FileFault fault) {
  const std::lock_guard lock(mutex_);
  call_count_ = 0;
  failure_count_ = 0;
  fail_at_ = n;
  fault_ = fault;
}

void FaultFileSystem::Heal() { FailAt(0); }

void FaultFileSystem::CountOnly(Filter filter) {
  const std::lock_guard lock(mutex_);
  filter_ = std::move(filter);
}

std::uint64_t FaultFileSystem::call_count() const {
  const std::lock_guard lock(mutex_);
  return call_count_;
}

std::uint64_t FaultFileSystem::failure_count() const {
  const std::lock_guard lock(mutex_);
  return failure_count_;
}

std::string FaultFileSystem::RecentCalls() const {
  const std::lock_guard lock(mutex_);
  std::string text;
  for (const std::string& line : recent_) text += line + "\n";
  return text;
}

void FaultFileSystem::Note(const FileCallRecord& record) {
  const std::lock_guard lock(mutex_);
  recent_.push_back(fmt::format("{:>6} {}", "", record.ToString()));
  if (recent_.size() > kRecentMax) recent_.pop_front();
}

std::optional<FileFault> FaultFileSystem::Count(const FileCallRecord& record) {
  const std::lock_guard lock(mutex_);
  if (filter_ && !filter_(record)) return std::nullopt;
  ++call_count_;
  const bool fails =
      fail_at_ != 0 &&
      (call_count_ == fail_at_ ||
       (fault_.duration == FileFault::Duration::kFromThenOn && call_count_ > fail_at_));
  recent_.push_back(
      fmt::format("{:>6} {}{}", call_count_, record.ToString(), fails ? "  <-- fails" : ""));
  if (recent_.size() > kRecentMax) recent_.pop_front();
  if (!fails) return std::nullopt;
  ++failure_count_;
  return fault_;
}

}  // namespace runnel::testing
