// One descriptor of a database file for all connections of this process.
//
// SQLite opens the file once for each connection, and closing any of these descriptors would drop
// the process's POSIX locks on the file; so it keeps those of closed connections until no lock is
// left. We hold a lock at all times, and every connection that was ever open beside it would cost
// a descriptor for good. Locks belong to the process and not to the descriptor, and SQLite reads
// and writes by position only, so one descriptor serves all connections:
//
//   (1) A database file that this process has open is not opened again: a connection to it gets
//       the same descriptor, and it is counted.
//   (2) It is closed when SQLite has closed it as often as it has opened it. SQLite closes only
//       what carries no lock, and we close later than it does, never earlier: whatever it knows
//       to be safe stays safe.
//   (3) Where in doubt (the file was replaced while it was opened) a descriptor is not shared, and
//       SQLite's own rule is all there is.
//
// Concerns main database files opened for reading and writing and not to be created, which only
// this folder does.

#pragma once

#include <sys/types.h>

#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace runnel::sqlite {

// For the rest of the process, in every unix VFS of SQLite. Idempotent, thread-safe; before other
// threads use SQLite.
void ShareDatabaseDescriptors();

// What takes the place of open(2) and close(2) there. Thread-safe.
class SharedDescriptors {
 public:
  using OpenCall = int (*)(const char* path, int flags, int mode);
  using CloseCall = int (*)(int descriptor);

  SharedDescriptors(OpenCall real_open, CloseCall real_close)
      : real_open_(real_open), real_close_(real_close) {}

  // Results and errno as of the real calls.
  int Open(const char* path, int flags, int mode);
  int Close(int descriptor);

 private:
  using File = std::pair<dev_t, ino_t>;

  struct Use {
    File file;
    int count = 0;
  };

  void Add(int descriptor);

  const OpenCall real_open_;
  const CloseCall real_close_;
  std::mutex mutex_;
  std::map<File, int> by_file_;        // guarded by mutex_
  std::unordered_map<int, Use> uses_;  // by descriptor; guarded by mutex_
};

}  // namespace runnel::sqlite
