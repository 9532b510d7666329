// The file that a restore makes: written beside its place, put there when it is whole.
//
//   (1) Everything goes to "<path>.tmp". The path itself changes only in Publish(), and not at all
//       if the power fails before: afterwards there is the whole new file, or what was there.
//   (2) Without Publish(), or after it failed, nothing is left: the temporary file and the folders
//       made for it are removed. The one exception is said by Publish().
//   (3) One restore at a time: a lock on the temporary file tells a running restore from what a
//       killed one left. Leftovers are replaced.
//   (4) A database beside which lies a -wal, -shm or -journal of another would be damaged by it:
//       such files count as an existing database.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "fs/file_system.h"

namespace runnel::restore {

enum class Overwrite : std::uint8_t {
  kRefuse,   // kAlreadyExists if there is a file that is not empty, or a -wal, -shm, -journal
  kReplace,  // such files are removed just before the new one takes the place
};

// Whether a restore to `path` may begin: for a refusal before any work. A folder at `path` is
// kInvalidArgument.
Result<void> CheckOutput(fs::FileSystem& file_system, const fs::Path& path, Overwrite overwrite);

class OutputFile {
 public:
  struct Options {
    Overwrite overwrite = Overwrite::kRefuse;
    // Of the file; if not given: that of the file at the path, else mode 0600 and the owner of
    // the folder. Folders that are made have the ownership of the folder they are made in.
    std::optional<fs::Ownership> ownership = std::nullopt;
  };

  // Makes the temporary file of `size_bytes` zeros, and its missing parents. kNoSpace at once if
  // the disk has no room for it; kBusy if another restore is writing it.
  static Result<std::unique_ptr<OutputFile>> Create(fs::FileSystem& file_system, fs::Path path,
                                                    std::uint64_t size_bytes, Options options);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Thread-safe.
  Result<void> WriteAt(std::uint64_t offset, ByteView bytes) {
    return file_->WriteAt(offset, bytes);
  }

  const fs::Path& temp_path() const { return temp_path_; }

  // Has the disk begin with a part that will not change any more. Thread-safe.
  void StartWriteBack(std::uint64_t offset, std::uint64_t size_bytes) {
    file_->StartWriteBack(offset, size_bytes);
  }

  // Makes what was written durable, and durably the file at the path. If this fails after an old
  // database was removed (Overwrite::kReplace), the temporary file, which is whole, stays and the
  // message names it. Call once.
  Result<void> Publish();

 private:
  enum class State : std::uint8_t { kWriting, kPublished, kKept };

  OutputFile(fs::FileSystem& file_system, fs::Path path, Options options);

  Result<void> MakeFolders();
  Result<fs::Ownership> ChooseOwnership();
  Result<void> LockTemp(const fs::Ownership& ownership);
  Result<void> CheckRoom(std::uint64_t size_bytes);
  Result<void> RemoveOld();
  Result<void> MoveIntoPlace();

  fs::FileSystem& file_system_;
  const fs::Path path_;
  const fs::Path temp_path_;
  const fs::Path folder_;
  const Options options_;
  State state_ = State::kWriting;
  bool old_removed_ = false;
  std::vector<fs::Path> made_folders_;  // outermost first
  std::unique_ptr<fs::FileLock> lock_;
  std::unique_ptr<fs::File> file_;
};

}  // namespace runnel::restore
