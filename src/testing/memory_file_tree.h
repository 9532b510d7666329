// The names of a simulated file system, as they are now and as a power loss would leave them.

#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "fs/file_system.h"
#include "testing/memory_content.h"

namespace runnel::testing {

struct MemoryInode;
using MemoryInodePtr = std::shared_ptr<MemoryInode>;
using MemoryEntries = std::map<std::string, MemoryInodePtr, std::less<>>;

struct MemoryInode {
  std::uint64_t number = 0;
  fs::FileType type = fs::FileType::kRegular;
  fs::Ownership ownership;
  WallTime modified;

  // Of a file.
  MemoryContent content;
  WallTime durable_modified;
  std::size_t name_count = 0;
  std::size_t open_count = 0;
  bool locked = false;

  // Of a directory.
  MemoryEntries entries;
  MemoryEntries durable_entries;
};

// Where a path leads: the directory that holds its last part, and what is there, if anything.
struct MemoryPlace {
  MemoryInodePtr directory;  // null for the root itself
  std::string name;
  MemoryInodePtr inode;  // null: nothing there
};

// Not thread-safe.
class MemoryFileTree {
 public:
  MemoryFileTree();

  // kNotFound if a directory on the way is missing.
  Result<MemoryPlace> Find(const fs::Path& path) const;
  const MemoryInodePtr& root() const { return root_; }

  // Changes of names, visible at once and durable after SyncDirectory().
  void Link(const MemoryPlace& place, MemoryInodePtr inode);
  void Unlink(const MemoryPlace& place);
  void Move(const MemoryPlace& from, const MemoryPlace& to);

  void SyncDirectory(const MemoryInodePtr& directory);
  void SyncEverything();
  void LosePower(Random& random, Survival names, Survival content);

  // Everything that has a name, each once.
  std::vector<MemoryInodePtr> Reachable() const;

 private:
  struct Change {
    MemoryInodePtr directory;
    std::string name;
    MemoryInodePtr inode;  // what the name means from now on; null: nothing
    bool synced = false;
  };
  // Happens as a whole or not at all.
  struct Operation {
    std::vector<Change> changes;
    MemoryInodePtr moved;  // null unless a rename
  };

  void Do(Operation operation);
  static bool IsSynced(const Operation& operation);
  static void MakeDurable(const Operation& operation);
  std::set<const Operation*> FindRequired() const;

  MemoryInodePtr root_;
  std::list<Operation> unsynced_;  // in the order in which they were done
};

}  // namespace runnel::testing
