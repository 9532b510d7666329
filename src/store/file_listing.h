// The objects of a FileStore in the order of their keys, out of nested directories.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/file_system.h"
#include "store/object_store.h"

namespace runnel::store {

// Whether a file of that name is none of a FileStore's objects: unfinished, or a lock.
bool IsReservedFileName(std::string_view name);

// One listing. Reads only directories that can hold a key with the prefix and after
// `start_after`. One thread.
class FileListing {
 public:
  FileListing(fs::FileSystem& files, const fs::Path& root, const std::string& prefix,
              const std::optional<ObjectKey>& start_after, std::size_t limit)
      : files_(files), root_(root), prefix_(prefix), start_after_(start_after), limit_(limit) {}

  Result<ListPage> Run();

 private:
  enum class Progress : std::uint8_t { kGoOn, kPageFull };
  struct Candidate {
    std::string key;  // of a directory: with a slash at the end, as it counts in the order of keys
    fs::FileType type;
  };

  // `directory_key` is empty or ends with a slash.
  Result<Progress> Visit(const std::string& directory_key);
  Result<std::vector<Candidate>> FindCandidates(const std::string& directory_key);
  bool MayMatch(const Candidate& candidate) const;
  Result<Progress> Add(const std::string& key);

  fs::FileSystem& files_;
  const fs::Path& root_;
  const std::string& prefix_;
  const std::optional<ObjectKey>& start_after_;
  const std::size_t limit_;
  ListPage page_;
};

}  // namespace runnel::store
