#include "sqlite/shared_descriptors.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <mutex>

#include "base/check.h"

namespace runnel::sqlite {
int SharedDescriptors::Open(const char* path, int flags, int mode) {
  const bool may_share = (flags & (O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC)) == O_RDWR;
  if (!may_share) return real_open_(path, flags, mode);
  const std::lock_guard lock(mutex_);
  struct stat named{};
  if (::stat(path, &named) == 0) {
    // An inode is not used again for another file while a descriptor of it is open.
    if (const auto shared = by_file_.find({named.st_dev, named.st_ino}); shared != by_file_.end()) {
      ++uses_.at(shared->second).count;
      return shared->second;
    }
  }
  const int descriptor = real_open_(path, flags, mode);
  if (descriptor >= 0) Add(descriptor);
  return descriptor;
}

// Not if the path has just come to name a file that is shared already: a second descriptor of it
// may not be closed here.
void SharedDescriptors::Add(int descriptor) {
  struct stat opened{};
  if (::fstat(descriptor, &opened) != 0) return;
  const File file{opened.st_dev, opened.st_ino};
  if (!by_file_.emplace(file, descriptor).second) return;
  uses_.insert_or_assign(descriptor, Use{.file = file, .count = 1});
}

// Under the lock to the end, so that the number is not given out again before it is forgotten.
int SharedDescriptors::Close(int descriptor) {
  const std::lock_guard lock(mutex_);
  const auto use = uses_.find(descriptor);
  if (use == uses_.end()) return real_close_(descriptor);
  if (--use->second.count > 0) return 0;
  by_file_.erase(use->second.file);
  uses_.erase(use);
  return real_close_(descriptor);
}

namespace {

// SQLite's table of system calls is one for the process, and its calls carry no context.
SharedDescriptors* shared_descriptors = nullptr;

int OpenShared(const char* path, int flags, int mode) noexcept {
  return shared_descriptors->Open(path, flags, mode);
}

int CloseShared(int descriptor) noexcept { return shared_descriptors->Close(descriptor); }

template <class Call>
Call SystemCall(sqlite3_vfs* vfs, const char* name) {
  return reinterpret_cast<Call>(vfs->xGetSystemCall(vfs, name));
}

template <class Call>
void SetSystemCall(sqlite3_vfs* vfs, const char* name, Call call) {
  const auto untyped = reinterpret_cast<sqlite3_syscall_ptr>(call);
  RUNNEL_CHECK(vfs->xSetSystemCall(vfs, name, untyped) == SQLITE_OK);
}

void Install() {
  sqlite3_vfs* vfs = sqlite3_vfs_find("unix");
  RUNNEL_CHECK(vfs != nullptr && vfs->iVersion >= 3);
  // Without these SQLite moves the file's one offset before each read and write.
  for (const char* positional : {"pread", "pwrite"}) {
    RUNNEL_CHECK(vfs->xGetSystemCall(vfs, positional) != nullptr);
  }
  // Never destroyed: a connection may be closed as late as the program's end.
  shared_descriptors =
      new SharedDescriptors(SystemCall<SharedDescriptors::OpenCall>(vfs, "open"),
                            SystemCall<SharedDescriptors::CloseCall>(vfs, "close"));
  SetSystemCall(vfs, "open", OpenShared);
  SetSystemCall(vfs, "close", CloseShared);
}

}  // namespace

void ShareDatabaseDescriptors() {
  static std::once_flag once;
  std::call_once(once, Install);
}

}  // namespace runnel::sqlite
