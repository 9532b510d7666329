#include "sqlite/open_registry.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <array>
#include <cstring>

#include "base/check.h"
#include "base/ids.h"
#include "sqlite/shared_descriptors.h"
#include "sqlite/sqlite_error.h"

namespace runnel::sqlite {
namespace {

constexpr std::size_t kHeaderSize = 100;
constexpr std::string_view kMagic{"SQLite format 3\0", 16};

// The first 32 bytes decide; those after them may be encrypted.
FileKind ParseHeader(ByteView header, FileInspection& inspection) {
  if (header.empty()) return FileKind::kEmpty;
  if (header.size() < kHeaderSize || AsText(header.first(kMagic.size())) != kMagic) {
    return FileKind::kOpaque;
  }
  const auto encoded = GetBigEndian<std::uint16_t>(header, 16);
  inspection.page_size = encoded == 1 ? kPageSizeMax : encoded;
  const bool wal = header[18] == std::byte{2} && header[19] == std::byte{2};
  inspection.journal_mode = wal ? JournalMode::kWal : JournalMode::kOther;
  return IsValidPageSize(inspection.page_size) ? FileKind::kSqlite : FileKind::kOpaque;
}

}  // namespace

OpenRegistry::OpenRegistry(fs::FileSystem& file_system, std::string vfs)
    : file_system_(file_system), vfs_(std::move(vfs)) {
  ShareDatabaseDescriptors();
}

OpenRegistry::~OpenRegistry() { RUNNEL_CHECK(held_.empty()); }

OpenRegistry::Held* OpenRegistry::Find(const fs::FileIdentity& identity) {
  const auto it = held_.find(Key{identity.device, identity.inode});
  return it == held_.end() ? nullptr : &it->second;
}

Result<fs::FileInfo> OpenRegistry::StatRegularFile(const fs::Path& path) {
  RUNNEL_TRY(fs::FileInfo info, file_system_.Stat(path));
  if (info.type != fs::FileType::kRegular) {
    return Fail(Errc::kInvalidArgument, path.native() + ": not a regular file");
  }
  return info;
}

Result<std::unique_ptr<Connection>> OpenRegistry::Open(const fs::Path& path) {
  const std::lock_guard lock(mutex_);
  RUNNEL_TRY(const fs::FileInfo info, StatRegularFile(path));
  if (const Held* held = Find(info.identity); held != nullptr && held->path != path) {
    return Fail(Errc::kAlreadyExists, fmt::format("{}: is the same file as {}, which is open",
                                                  path.native(), held->path.native()));
  }

  sqlite3* db = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
                    SQLITE_OPEN_EXRESCODE;
  const char* vfs = vfs_.empty() ? nullptr : vfs_.c_str();
  const int rc = sqlite3_open_v2(path.c_str(), &db, flags, vfs);
  if (rc != SQLITE_OK) {
    Error error =
        MakeError(rc, db == nullptr ? 0 : sqlite3_system_errno(db), path.native(), "open");
    sqlite3_close_v2(db);
    return Fail(std::move(error));
  }
  // From here on Close() undoes everything.
  std::unique_ptr<Connection> connection(new Connection(*this, path, db));
  connection->identity_ = info.identity;
  Held& held = held_[Key{info.identity.device, info.identity.inode}];
  if (held.connections++ == 0) held.path = path;
  if (auto ready = Verify(*connection); !ready) {
    CloseLocked(*connection);
    return Fail(std::move(ready).error());
  }
  return connection;
}

// What was opened is what stat saw, and may be written.
Result<void> OpenRegistry::Verify(Connection& connection) {
  RUNNEL_TRY_VOID(connection.Configure());
  RUNNEL_TRY(const bool moved, connection.HasMoved());
  RUNNEL_TRY(const fs::FileInfo now, StatRegularFile(connection.path()));
  if (moved || now.identity != connection.identity()) {
    return Fail(Errc::kBusy, connection.path().native() + ": replaced while it was opened");
  }
  // SQLite opens read-only, without an error, what it may not write.
  if (sqlite3_db_readonly(connection.db_, "main") != 0) {
    return Fail(MakeError(SQLITE_READONLY, 0, connection.path().native(), "open for writing"));
  }
  return {};
}

void OpenRegistry::Close(Connection& connection) {
  const std::lock_guard lock(mutex_);
  CloseLocked(connection);
}

void OpenRegistry::CloseLocked(Connection& connection) {
  connection.ReleaseMemory();
  RUNNEL_CHECK(sqlite3_close(connection.db_) == SQLITE_OK);
  connection.db_ = nullptr;
  const auto it = held_.find(Key{connection.identity_.device, connection.identity_.inode});
  RUNNEL_CHECK(it != held_.end());
  // Only now may raw handles on the inode be closed: they are in the entry.
  if (--it->second.connections == 0) held_.erase(it);
}

Result<FileInspection> OpenRegistry::Inspect(const fs::Path& path) {
  const std::lock_guard lock(mutex_);
  FileInspection inspection;
  RUNNEL_TRY(inspection.info, StatRegularFile(path));
  if (const Held* held = Find(inspection.info.identity)) return Fail(AlreadyOpen(path, *held));

  RUNNEL_TRY(auto file, file_system_.Open(path, fs::OpenMode::kRead));
  // The path may have been replaced since the stat, by a file that is held. Closing it now would
  // drop SQLite's locks.
  auto opened = file->Info();
  if (!opened) {
    unidentified_.push_back(std::move(file));
    return Fail(std::move(opened).error());
  }
  if (Held* held = Find(opened->identity)) {
    Error error = AlreadyOpen(path, *held);
    held->parked.push_back(std::move(file));
    return Fail(std::move(error));
  }
  inspection.info = *opened;
  std::array<std::byte, kHeaderSize> header;
  RUNNEL_TRY(const std::size_t size, file->ReadAt(0, header));
  inspection.kind = ParseHeader(ByteView(header).first(size), inspection);
  return inspection;
}

Error OpenRegistry::AlreadyOpen(const fs::Path& path, const Held& held) {
  return {Errc::kAlreadyExists,
          fmt::format("{}: is open already as {}", path.native(), held.path.native())};
}

std::optional<fs::Path> OpenRegistry::HeldAs(const fs::FileIdentity& identity) {
  const std::lock_guard lock(mutex_);
  const Held* held = Find(identity);
  if (held == nullptr) return std::nullopt;
  return held->path;
}

std::size_t OpenRegistry::held_count() {
  const std::lock_guard lock(mutex_);
  return held_.size();
}

}  // namespace runnel::sqlite
