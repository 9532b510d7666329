// Two file systems as one: a folder of its own lies in memory, where its power can be cut and a
// sync costs nothing; all else, the live database above all, is on the real disk.

#pragma once

#include <memory>
#include <vector>

#include "fs/file_system.h"

namespace runnel::scenario {

class TwoDisks final : public fs::FileSystem {
 public:
  // Both outlive this. `folder`, absolute: what lies on `there`.
  TwoDisks(fs::FileSystem& here, fs::FileSystem& there, const fs::Path& folder)
      : here_(here), there_(there), folder_(folder.native() + "/") {}

  Result<std::unique_ptr<fs::File>> Open(const fs::Path& path, fs::OpenMode mode,
                                         const fs::Ownership& ownership = {}) override {
    return Of(path).Open(path, mode, ownership);
  }
  Result<fs::FileInfo> Stat(const fs::Path& path) override { return Of(path).Stat(path); }
  Result<void> Rename(const fs::Path& from, const fs::Path& to) override {
    return Of(from).Rename(from, to);
  }
  Result<void> RenameNoReplace(const fs::Path& from, const fs::Path& to) override {
    return Of(from).RenameNoReplace(from, to);
  }
  Result<void> Remove(const fs::Path& path) override { return Of(path).Remove(path); }
  Result<void> CreateDirectories(const fs::Path& path, const fs::Ownership& ownership) override {
    return Of(path).CreateDirectories(path, ownership);
  }
  Result<std::vector<fs::DirectoryEntry>> List(const fs::Path& path) override {
    return Of(path).List(path);
  }
  Result<void> SyncDirectory(const fs::Path& path) override { return Of(path).SyncDirectory(path); }
  Result<void> SetModified(const fs::Path& path, WallTime time) override {
    return Of(path).SetModified(path, time);
  }
  Result<std::unique_ptr<fs::FileLock>> Lock(const fs::Path& path,
                                             const fs::Ownership& ownership) override {
    return Of(path).Lock(path, ownership);
  }
  Result<std::uint64_t> FreeBytes(const fs::Path& path) override {
    return Of(path).FreeBytes(path);
  }

 private:
  fs::FileSystem& Of(const fs::Path& path) {
    return (path.native() + "/").starts_with(folder_) ? there_ : here_;
  }

  fs::FileSystem& here_;
  fs::FileSystem& there_;
  const std::string folder_;
};

}  // namespace runnel::scenario
