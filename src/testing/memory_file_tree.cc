#include "testing/memory_file_tree.h"

#include <algorithm>
#include <utility>

namespace runnel::testing {
namespace {

void Apply(MemoryEntries& entries, const std::string& name, const MemoryInodePtr& inode) {
  if (inode) {
    entries[name] = inode;
  } else {
    entries.erase(name);
  }
}

}  // namespace

MemoryFileTree::MemoryFileTree() : root_(std::make_shared<MemoryInode>()) {
  root_->type = fs::FileType::kDirectory;
  root_->ownership.mode = 0755;
}

Result<MemoryPlace> MemoryFileTree::Find(const fs::Path& path) const {
  MemoryPlace place{.directory = nullptr, .name = {}, .inode = root_};
  for (const fs::Path& part : path.lexically_normal()) {
    if (part == "/" || part == "." || part == ".." || part.empty()) continue;
    if (!place.inode || place.inode->type != fs::FileType::kDirectory) {
      return Fail(Errc::kNotFound, path.native() + ": no such directory on the way");
    }
    place.directory = place.inode;
    place.name = part.native();
    const auto entry = place.directory->entries.find(place.name);
    place.inode = entry == place.directory->entries.end() ? nullptr : entry->second;
  }
  return place;
}

void MemoryFileTree::Link(const MemoryPlace& place, MemoryInodePtr inode) {
  Do({.changes = {{.directory = place.directory, .name = place.name, .inode = std::move(inode)}},
      .moved = nullptr});
}

void MemoryFileTree::Unlink(const MemoryPlace& place) {
  Do({.changes = {{.directory = place.directory, .name = place.name, .inode = nullptr}},
      .moved = nullptr});
}

void MemoryFileTree::Move(const MemoryPlace& from, const MemoryPlace& to) {
  Do({.changes = {{.directory = from.directory, .name = from.name, .inode = nullptr},
                  {.directory = to.directory, .name = to.name, .inode = from.inode}},
      .moved = from.inode});
}

void MemoryFileTree::SyncDirectory(const MemoryInodePtr& directory) {
  for (Operation& operation : unsynced_) {
    for (Change& change : operation.changes) {
      if (change.directory == directory) change.synced = true;
    }
  }
  // What is synced leaves the list unless something before it, in a directory of its own, may
  // still be lost: then only the replay in order tells what the name means.
  std::set<const MemoryInode*> undecided;
  std::erase_if(unsynced_, [&](const Operation& operation) {
    const bool waits = std::ranges::any_of(operation.changes, [&](const Change& change) {
      return undecided.contains(change.directory.get());
    });
    if (IsSynced(operation) && !waits) {
      MakeDurable(operation);
      return true;
    }
    for (const Change& change : operation.changes) undecided.insert(change.directory.get());
    return false;
  });
}

void MemoryFileTree::SyncEverything() {
  for (const Operation& operation : unsynced_) MakeDurable(operation);
  unsynced_.clear();
  for (const MemoryInodePtr& inode : Reachable()) {
    inode->content.Sync();
    inode->durable_modified = inode->modified;
  }
}

void MemoryFileTree::LosePower(Random& random, Survival names, Survival content) {
  const std::set<const Operation*> required = FindRequired();
  std::set<const MemoryInode*> stayed_behind;
  for (const Operation& operation : unsynced_) {
    const MemoryInode* const moved = operation.moved.get();
    const bool lost = !required.contains(&operation) &&
                      (stayed_behind.contains(moved) || !Survives(random, names));
    if (!lost) {
      MakeDurable(operation);
    } else if (moved != nullptr) {
      stayed_behind.insert(moved);
    }
  }
  unsynced_.clear();

  std::vector<MemoryInodePtr> directories{root_};
  while (!directories.empty()) {
    const MemoryInodePtr directory = std::move(directories.back());
    directories.pop_back();
    directory->entries = directory->durable_entries;
    for (const auto& [name, inode] : directory->entries) inode->name_count = 0;
    for (const auto& [name, inode] : directory->entries) {
      if (inode->type == fs::FileType::kDirectory) directories.push_back(inode);
    }
  }
  for (const MemoryInodePtr& inode : Reachable()) {
    for (const auto& [name, child] : inode->entries) ++child->name_count;
    inode->content.LosePower(random, content);
    if (!Survives(random, content)) inode->modified = inode->durable_modified;
    inode->durable_modified = inode->modified;
  }
}

std::vector<MemoryInodePtr> MemoryFileTree::Reachable() const {
  std::vector<MemoryInodePtr> found{root_};
  std::set<const MemoryInode*> seen{root_.get()};
  for (std::size_t i = 0; i < found.size(); ++i) {
    const MemoryInodePtr inode = found[i];
    for (const auto& [name, child] : inode->entries) {
      if (seen.insert(child.get()).second) found.push_back(child);
    }
  }
  return found;
}

void MemoryFileTree::Do(Operation operation) {
  for (const Change& change : operation.changes) {
    MemoryEntries& entries = change.directory->entries;
    if (const auto old = entries.find(change.name); old != entries.end()) --old->second->name_count;
    if (change.inode) ++change.inode->name_count;
    Apply(entries, change.name, change.inode);
  }
  unsynced_.push_back(std::move(operation));
}

bool MemoryFileTree::IsSynced(const Operation& operation) {
  return std::ranges::all_of(operation.changes, &Change::synced);
}

void MemoryFileTree::MakeDurable(const Operation& operation) {
  for (const Change& change : operation.changes) {
    Apply(change.directory->durable_entries, change.name, change.inode);
  }
}

// What a power loss cannot take: all that is synced, and the moves that brought a file to where a
// synced move took it from. (A file in both the old and the newest place is what a file system
// without links between its own changes would leave; none in use does.)
std::set<const MemoryFileTree::Operation*> MemoryFileTree::FindRequired() const {
  std::set<const Operation*> required;
  std::set<const MemoryInode*> arrived;
  for (auto operation = unsynced_.rbegin(); operation != unsynced_.rend(); ++operation) {
    const MemoryInode* const moved = operation->moved.get();
    if (!IsSynced(*operation) && !arrived.contains(moved)) continue;
    required.insert(&*operation);
    if (moved != nullptr) arrived.insert(moved);
  }
  return required;
}

}  // namespace runnel::testing
