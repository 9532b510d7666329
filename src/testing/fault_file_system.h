// A file system that fails when the test says so.
//
// To try every failure of a scenario: run it once without a fault, read call_count(), then run it
// again for each n up to that, with FailAt(n).

#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "fs/file_system.h"

namespace runnel::testing {

enum class FileCall : std::uint8_t {
  kOpen,
  kOpenToRead,
  kStat,
  kRename,
  kRenameNoReplace,
  kRemove,
  kCreateDirectories,
  kList,
  kSyncDirectory,
  kSetModified,
  kLock,
  kFreeBytes,
  kRead,
  kWrite,
  kTruncate,
  kAllocate,
  kStartWriteBack,  // cannot fail: never counted, only among RecentCalls()
  kSync,
  kInfo,
};

std::string_view FileCallName(FileCall call);

// Whether `call` can change what is on the disk, or make it durable.
bool IsMutating(FileCall call);

struct FileFault {
  enum class Duration : std::uint8_t { kOnce, kFromThenOn };
  // What is done of the call that fails.
  enum class Effect : std::uint8_t {
    kNone,
    kPartial,  // half of the bytes of a write; for any other call as kNone
    kWhole,    // all of it, only the answer is an error
  };

  Errc code = Errc::kIo;
  Duration duration = Duration::kOnce;
  Effect effect = Effect::kNone;
};

struct FileCallRecord {
  FileCall call;
  fs::Path path;  // of a rename: where from
  std::uint64_t offset = 0;
  std::uint64_t size = 0;

  std::string ToString() const;  // "write /a/b 4096 bytes at 0"
};

// Thread-safe. Files that it opened must not outlive it.
class FaultFileSystem final : public fs::FileSystem {
 public:
  using Filter = std::function<bool(const FileCallRecord&)>;

  // `files` must outlive this.
  explicit FaultFileSystem(fs::FileSystem& files) : files_(files) {}

  Result<std::unique_ptr<fs::File>> Open(const fs::Path& path, fs::OpenMode mode,
                                         const fs::Ownership& ownership = {}) override;
  Result<fs::FileInfo> Stat(const fs::Path& path) override;
  Result<void> Rename(const fs::Path& from, const fs::Path& to) override;
  Result<void> RenameNoReplace(const fs::Path& from, const fs::Path& to) override;
  Result<void> Remove(const fs::Path& path) override;
  Result<void> CreateDirectories(const fs::Path& path, const fs::Ownership& ownership) override;
  Result<std::vector<fs::DirectoryEntry>> List(const fs::Path& path) override;
  Result<void> SyncDirectory(const fs::Path& path) override;
  Result<void> SetModified(const fs::Path& path, WallTime time) override;
  Result<std::unique_ptr<fs::FileLock>> Lock(const fs::Path& path,
                                             const fs::Ownership& ownership) override;
  Result<std::uint64_t> FreeBytes(const fs::Path& path) override;

  // Fails the n-th call from now on, 1 being the next one; the count starts anew.
  void FailAt(std::uint64_t n, FileFault fault = {});

  // No more failures; the count starts anew.
  void Heal();

  // Only calls that `filter` takes are counted, and so fail. Runs under the lock of this object.
  void CountOnly(Filter filter);

  // Since the last FailAt() or Heal().
  std::uint64_t call_count() const;
  std::uint64_t failure_count() const;

  // The newest calls, one a line, failures marked: to be printed when a test fails.
  std::string RecentCalls() const;

 private:
  class FaultFile;

  void Note(const FileCallRecord& record);
  // Counts the call; says how it fails, if it does.
  std::optional<FileFault> Count(const FileCallRecord& record);

  template <class T, class F>
  Result<T> Do(const FileCallRecord& record, F call);

  fs::FileSystem& files_;

  mutable std::mutex mutex_;
  // The rest: under mutex_.
  Filter filter_;
  std::uint64_t call_count_ = 0;
  std::uint64_t failure_count_ = 0;
  std::uint64_t fail_at_ = 0;  // 0: never
  FileFault fault_;
  std::deque<std::string> recent_;
};

}  // namespace runnel::testing
