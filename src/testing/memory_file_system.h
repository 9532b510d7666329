// A file system in memory whose power can be cut.
//
//   (1) What a File::Sync() covered survives: content, size and time. Of what came later each
//       512-byte sector, and the size, may be as at any moment since (testing/memory_content.h).
//   (2) A name survives once the directory that holds it was synced, after the change. Each later
//       creation, removal or rename is kept or lost on its own, in any combination; a rename is
//       never half done. A rename between directories is safe only after both were synced.
//   (3) Names and content do not wait for each other: a file renamed into place without a sync of
//       its own may be there and empty or torn; a synced file whose name was not synced is gone.
//
// That is no better than POSIX promises, and worse than any one real file system: code that holds
// up here depends on none of their kindnesses.

#pragma once

#include <cstdint>
#include <limits>
#include <memory>

#include "base/clock.h"
#include "fs/file_system.h"

namespace runnel::testing {

struct MemoryFileSystemOptions {
  std::uint64_t capacity_bytes = std::uint64_t{1} << 40;
  std::size_t open_files_max = std::numeric_limits<std::size_t>::max();
};

// Thread-safe. Paths are absolute or taken from the root, which is all there is at first. Knows no
// symbolic links, and no rights: modes and owners are kept, not enforced.
class MemoryFileSystem final : public fs::FileSystem {
 public:
  // `clock` gives the times of modification and must outlive this and all open files.
  explicit MemoryFileSystem(Clock& clock, MemoryFileSystemOptions options = {});
  ~MemoryFileSystem() override;

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

  // The machine goes down and comes back. Every open file fails from then on, every lock is free.
  // How much survives differs from call to call, from nothing to everything that may.
  void PowerLoss(Random& random);

  // The process dies, the machine does not: files fail and locks are free, but nothing is lost.
  void ProcessDies();

  // As sync(8): everything survives from here.
  void SyncEverything();

  void SetCapacity(std::uint64_t bytes);

  std::size_t open_file_count() const;
  std::size_t lock_count() const;

 private:
  class State;
  class OpenFile;
  class HeldLock;

  const std::shared_ptr<State> state_;  // also held by open files and locks
};

}  // namespace runnel::testing
