// Objects as files below a directory, as Litestream's file replica has them.
//
// An object comes into being as "<name>.<random>.tmp" in its directory: written, its time set,
// synced, renamed into place, the directory synced. So a crash leaves a whole object or none, and
// a temporary file that readers skip.
//
// Conditions hold against every process on the machine: IfAbsent by a rename that does not
// replace; IfMatch under a lock file ".<name>.lock" that stays there. IfMatch in one process does
// not see an unconditional write or a deletion of the same key that another process does in the
// same instant: processes that share a key must all use conditions.
//
// Names that end in ".tmp", or begin with "." and end in ".lock", are not objects. A key cannot be
// both an object and a directory of others (kInvalidArgument).

#pragma once

#include <mutex>
#include <string>
#include <unordered_set>

#include "base/clock.h"
#include "fs/file_system.h"
#include "fs/stored_path.h"
#include "store/object_store.h"

namespace runnel::store {

struct FileStoreOptions {
  fs::Ownership file{.mode = 0600};
  fs::Ownership directory{.mode = 0700};
};

// Thread-safe. The collaborators must outlive it and its writers.
class FileStore final : public ObjectStore {
 public:
  // `root` need not exist; it is made by the first write.
  FileStore(fs::FileSystem& files, fs::Path root, FileStoreOptions options, Clock& clock,
            Random& random);

  std::string_view kind() const override { return "file"; }
  std::string location() const override;
  Capabilities capabilities() const override;

  Result<std::unique_ptr<ObjectWriter>> StartPut(const ObjectKey& key,
                                                 const PutOptions& options) override;
  Result<std::size_t> ReadAt(const ObjectKey& key, std::uint64_t offset, MutableBytes out) override;
  Result<ObjectInfo> Head(const ObjectKey& key) override;
  // Without etags.
  Result<ListPage> List(const std::string& prefix, const std::optional<ObjectKey>& start_after,
                        std::size_t limit) override;
  // Durable when it returns. Directories stay, also empty ones.
  Result<void> Delete(std::span<const ObjectKey> keys) override;

  // Temporary files of other programs stay.
  Result<std::size_t> SweepUnfinished(const std::string& prefix, WallTime older_than) override;

 private:
  class Writer;

  Result<fs::Path> ToPath(const ObjectKey& key) const;

  // Makes the directory, if this store has not seen it yet.
  Result<void> PrepareDirectory(const fs::Path& directory);
  void ForgetDirectory(const fs::Path& directory);

  Result<std::unique_ptr<fs::File>> OpenTemporary(const fs::Path& temporary);

  // Makes `temporary`, which is synced, the object, if the condition holds.
  Result<void> Publish(const fs::Path& temporary, const fs::Path& path,
                       const PutCondition& condition);
  Result<void> PublishIfMatch(const fs::Path& temporary, const fs::Path& path, const Etag& etag);
  Result<std::unique_ptr<fs::FileLock>> LockForSwap(const fs::Path& path);

  // Reads the file if it is small: see the definition.
  Result<Etag> FindEtag(fs::File& file, const fs::FileInfo& info) const;

  fs::FileSystem& files_;
  const fs::StoredPath root_;
  const FileStoreOptions options_;
  Clock& clock_;
  Random& random_;

  std::mutex swap_mutex_;    // held by the one thread that is doing IfMatch
  std::mutex change_mutex_;  // held while the name of an object changes hands; taken after it
  std::mutex directories_mutex_;
  std::unordered_set<std::string> directories_;  // known to be durable; under directories_mutex_
};

}  // namespace runnel::store
