// The one door of this process to database files.
//
// POSIX drops all of a process's locks on a file when any descriptor of it is closed. A raw look at
// a database that is open elsewhere in the process would silently take SQLite's locks away, and
// with them the safety of capture. So every open, close and look goes through one registry, under
// one mutex, and it knows each database by device and inode. A process has one registry.
//
//   (1) One inode is open under one path. A second path to it (symbolic link, hard link, another
//       spelling) is refused with kAlreadyExists naming the first.
//   (2) Inspect() never opens an inode that is held.
//   (3) A registry outlives its connections.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "fs/file_system.h"
#include "fs/stored_path.h"
#include "sqlite/connection.h"

namespace runnel::sqlite {

enum class FileKind : std::uint8_t {
  kEmpty,   // no bytes: SQLite takes it as an empty database
  kSqlite,  // the header of a database
  kOpaque,  // not SQLite, or encrypted from its first byte: see kEncryptedFileCure
};

// What to tell somebody whose database is a file of FileKind::kOpaque.
inline constexpr const char* kEncryptedFileCure =
    "not an SQLite database; if it is encrypted, the first 32 bytes must stay plain "
    "(SQLCipher: PRAGMA cipher_plaintext_header_size=32)";

struct FileInspection {
  FileKind kind = FileKind::kOpaque;
  std::uint32_t page_size = 0;                     // kSqlite only
  JournalMode journal_mode = JournalMode::kOther;  // kSqlite only
  fs::FileInfo info;
};

// Thread-safe.
class OpenRegistry {
 public:
  // `file_system` must outlive the registry. `vfs`: SQLite's name of the VFS that connections are
  // opened with; empty: its default.
  explicit OpenRegistry(fs::FileSystem& file_system, std::string vfs = {});
  ~OpenRegistry();
  OpenRegistry(const OpenRegistry&) = delete;
  OpenRegistry& operator=(const OpenRegistry&) = delete;

  // Opens an existing database for reading and writing. Takes no lock and reads nothing yet. The
  // same path may be opened several times.
  Result<std::unique_ptr<Connection>> Open(const fs::Path& path);

  // The one raw look at a candidate: its first 100 bytes. kAlreadyExists, naming the path it is
  // open under, if the inode is held; kInvalidArgument if it is not a regular file.
  Result<FileInspection> Inspect(const fs::Path& path);

  // The path under which an inode is held, if it is.
  std::optional<fs::Path> HeldAs(const fs::FileIdentity& identity);

  std::size_t held_count();  // inodes

 private:
  friend class Connection;

  struct Held {
    fs::StoredPath path;
    int connections = 0;
    // Raw handles whose close has to wait for the last connection.
    std::vector<std::unique_ptr<fs::File>> parked;
  };

  using Key = std::pair<std::uint64_t, std::uint64_t>;  // device, inode

  static Error AlreadyOpen(const fs::Path& path, const Held& held);
  Result<fs::FileInfo> StatRegularFile(const fs::Path& path);

  // With `mutex_` held.
  Held* Find(const fs::FileIdentity& identity);
  Result<void> Verify(Connection& connection);
  void CloseLocked(Connection& connection);

  // Closes SQLite's handle and forgets it. For Connection's destructor.
  void Close(Connection& connection);

  fs::FileSystem& file_system_;
  const std::string vfs_;
  std::mutex mutex_;
  std::map<Key, Held> held_;                             // guarded by mutex_
  std::vector<std::unique_ptr<fs::File>> unidentified_;  // guarded by mutex_; may be of any inode
};

}  // namespace runnel::sqlite
