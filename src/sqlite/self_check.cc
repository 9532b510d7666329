#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "sqlite/open_registry.h"
#include "sqlite/sqlite_error.h"
#include "sqlite/wal_index.h"
#include "sqlite/wal_index_layout.h"

namespace runnel::sqlite {
namespace {

constexpr std::uint32_t kPageSize = 1024;
constexpr std::size_t kWalHeaderSize = 32;
constexpr std::size_t kFrameHeaderSize = 24;
constexpr std::size_t kFrameSize = kFrameHeaderSize + kPageSize;

constexpr int kFixedBugVersion = 3051003;  // the WAL-reset bug is fixed here
constexpr int kWithdrawnVersion = 3052000;
constexpr int kNextGoodVersion = 3053000;

struct CloseDatabase {
  void operator()(sqlite3* db) const { sqlite3_close(db); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

// An empty file with a name nobody uses; its -wal and -shm go with it.
class ScratchFile {
 public:
  ScratchFile(fs::FileSystem& file_system, const fs::Path& directory)
      : file_system_(file_system), directory_(directory) {}
  ~ScratchFile() {
    if (path_.empty()) return;
    for (const char* suffix : {"", "-wal", "-shm"}) {
      (void)file_system_.Remove(path_.native() + suffix);
    }
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  Result<void> Create() {
    for (int attempt = 0;; ++attempt) {
      const fs::Path path = directory_ / fmt::format(".runnel-selftest-{}-{}", getpid(), attempt);
      auto file = file_system_.Open(path, fs::OpenMode::kCreateNew);
      if (file) {
        path_ = path;
        return {};
      }
      if (file.error().code() != Errc::kAlreadyExists) return Fail(std::move(file).error());
    }
  }

  const fs::Path& path() const { return path_; }

 private:
  fs::FileSystem& file_system_;
  fs::Path directory_;
  fs::Path path_;
};

std::uint32_t Field(const WalIndexBytes& header, std::size_t offset) {
  return GetInt<std::uint32_t>(header, offset, kHostOrder);
}

Error Differs(std::string_view what) {
  return {Errc::kUnsupported,
          fmt::format("SQLite {} has a wal-index this program does not know: {}",
                      sqlite3_libversion(), what)};
}

// Drives a writer through the life of a WAL, and looks at the wal-index as a daemon would.
class LayoutTest {
 public:
  LayoutTest(fs::FileSystem& file_system, const fs::Path& path)
      : file_system_(file_system), path_(path), registry_(file_system) {}

  Result<void> Run() {
    RUNNEL_TRY_VOID(OpenWriter());
    RUNNEL_TRY(connection_, registry_.Open(path_));
    RUNNEL_TRY_VOID(CheckNeverWritten());
    RUNNEL_TRY_VOID(Execute("CREATE TABLE t(x)"));
    RUNNEL_TRY_VOID(CheckAgainstWal(0));
    RUNNEL_TRY_VOID(Execute("INSERT INTO t VALUES(randomblob(5000))"));
    RUNNEL_TRY_VOID(CheckAgainstWal(0));
    RUNNEL_TRY_VOID(CheckReadMark());
    RUNNEL_TRY_VOID(CheckWriteLock());
    RUNNEL_TRY(const WalIndexBytes before, Backfill());
    RUNNEL_TRY_VOID(Execute("INSERT INTO t VALUES(1)"));
    RUNNEL_TRY_VOID(CheckAgainstWal(0));
    RUNNEL_TRY(const LiveWalIndex live, ReadLiveWalIndex(*connection_));
    if (Field(live.header, kSaltsOffset) == Field(before, kSaltsOffset)) {
      return Fail(Differs("a restart of the WAL keeps its salts"));
    }
    return CheckTruncated();
  }

 private:
  Result<void> OpenWriter() {
    sqlite3* db = nullptr;
    const int rc = sqlite3_open_v2(path_.c_str(), &db, SQLITE_OPEN_READWRITE, nullptr);
    writer_.reset(db);
    if (rc != SQLITE_OK) return Fail(MakeError(rc, 0, path_.native(), "self-test: open"));
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    RUNNEL_TRY_VOID(Execute(fmt::format("PRAGMA page_size={}", kPageSize)));
    RUNNEL_TRY_VOID(Execute("PRAGMA synchronous=OFF"));
    return Execute("PRAGMA journal_mode=WAL");
  }

  Result<void> Execute(const std::string& sql) {
    const int rc = sqlite3_exec(writer_.get(), sql.c_str(), nullptr, nullptr, nullptr);
    if (rc == SQLITE_OK) return {};
    return Fail(MakeError(rc, sqlite3_system_errno(writer_.get()), path_.native(), "self-test"));
  }

  Result<void> CheckNeverWritten() {
    RUNNEL_TRY_VOID(connection_->Begin());
    RUNNEL_TRY(const WalIndexBytes held, connection_->HeldHeader());
    RUNNEL_TRY(const LiveWalIndex live, ReadLiveWalIndex(*connection_));
    if (held != live.header) return Fail(Differs("that of an unwritten WAL"));
    return connection_->Rollback();
  }

  // The published header is what a new transaction holds, and describes the WAL file.
  Result<void> CheckAgainstWal(std::uint32_t backfilled) {
    RUNNEL_TRY_VOID(connection_->Begin());
    RUNNEL_TRY(const WalIndexBytes held, connection_->HeldHeader());
    RUNNEL_TRY(const LiveWalIndex live, ReadLiveWalIndex(*connection_));
    RUNNEL_TRY_VOID(connection_->Rollback());
    if (held != live.header) return Fail(Differs("snapshot and header"));
    if (live.backfilled != backfilled) return Fail(Differs("nBackfill"));
    if (Field(live.header, kVersionOffset) != kWalIndexVersion) return Fail(Differs("version"));
    if (GetInt<std::uint16_t>(live.header, kPageSizeOffset, kHostOrder) != kPageSize) {
      return Fail(Differs("page size"));
    }
    return CompareWithFile(live.header);
  }

  Result<void> CompareWithFile(const WalIndexBytes& header) {
    const std::uint32_t max_frame = Field(header, kMaxFrameOffset);
    if (max_frame == 0) return Fail(Differs("mxFrame"));
    RUNNEL_TRY(auto wal, file_system_.Open(connection_->wal_path(), fs::OpenMode::kRead));
    std::array<std::byte, kWalHeaderSize> wal_header;
    std::array<std::byte, kFrameHeaderSize> last;
    RUNNEL_TRY(const std::size_t got, wal->ReadAt(0, wal_header));
    RUNNEL_TRY(const std::size_t got_last,
               wal->ReadAt(kWalHeaderSize + (max_frame - 1) * kFrameSize, last));
    if (got < wal_header.size() || got_last < last.size()) return Fail(Differs("mxFrame"));
    const bool big_endian = (GetBigEndian<std::uint32_t>(wal_header, 0) & 1) != 0;
    if ((header[kBigEndianChecksumOffset] != std::byte{0}) != big_endian) {
      return Fail(Differs("byte order of checksums"));
    }
    if (std::memcmp(&header[kSaltsOffset], &wal_header[16], 8) != 0 ||
        std::memcmp(&header[kSaltsOffset], &last[8], 8) != 0) {
      return Fail(Differs("salts"));
    }
    // The last frame is a commit frame, so its second field is not 0.
    const auto commit_size = GetBigEndian<std::uint32_t>(last, 4);
    if (commit_size == 0 || Field(header, kPageCountOffset) != commit_size) {
      return Fail(Differs("page count"));
    }
    if (Field(header, kFrameChecksumOffset) != GetBigEndian<std::uint32_t>(last, 16) ||
        Field(header, kFrameChecksumOffset + 4) != GetBigEndian<std::uint32_t>(last, 20)) {
      return Fail(Differs("frame checksum"));
    }
    return {};
  }

  Result<void> CheckReadMark() {
    RUNNEL_TRY_VOID(connection_->Begin(ReadSlot::kNotZero));
    RUNNEL_TRY(const LiveWalIndex live, ReadLiveWalIndex(*connection_));
    RUNNEL_TRY_VOID(connection_->Rollback());
    const std::uint32_t max_frame = Field(live.header, kMaxFrameOffset);
    for (std::size_t slot = 1; slot < live.read_marks.size(); ++slot) {
      if (live.read_marks[slot] == max_frame) return {};
    }
    return Fail(Differs("read marks"));
  }

  Result<void> CheckWriteLock() {
    {
      RUNNEL_TRY(const WriteLock lock, WriteLock::Take(*connection_));
      auto refused = Execute("BEGIN IMMEDIATE");
      if (refused || refused.error().code() != Errc::kBusy) return Fail(Differs("the WRITE lock"));
    }
    RUNNEL_TRY_VOID(Execute("BEGIN IMMEDIATE"));
    RUNNEL_TRY(const LockState state, ProbeWriteLock(*connection_));
    RUNNEL_TRY_VOID(Execute("ROLLBACK"));
    if (state != LockState::kHeld) return Fail(Differs("the WRITE lock"));
    return {};
  }

  Result<WalIndexBytes> Backfill() {
    RUNNEL_TRY(const CheckpointResult done, connection_->Checkpoint(CheckpointMode::kPassive));
    RUNNEL_TRY(const LiveWalIndex live, ReadLiveWalIndex(*connection_));
    const std::uint32_t max_frame = Field(live.header, kMaxFrameOffset);
    if (done.busy || done.log_frames != max_frame || done.backfilled != max_frame ||
        live.backfilled != max_frame || live.backfill_attempted != max_frame) {
      return Fail(Differs("nBackfill after a checkpoint"));
    }
    return live.header;
  }

  Result<void> CheckTruncated() {
    RUNNEL_TRY(const CheckpointResult done, connection_->Checkpoint(CheckpointMode::kTruncate));
    RUNNEL_TRY(const LiveWalIndex live, ReadLiveWalIndex(*connection_));
    if (done.busy || Field(live.header, kMaxFrameOffset) != 0 || live.backfilled != 0) {
      return Fail(Differs("a truncated WAL"));
    }
    RUNNEL_TRY_VOID(connection_->Begin());
    RUNNEL_TRY(const WalIndexBytes held, connection_->HeldHeader());
    if (held != live.header) return Fail(Differs("snapshot of a truncated WAL"));
    return connection_->Rollback();
  }

  fs::FileSystem& file_system_;
  const fs::Path path_;
  OpenRegistry registry_;
  Database writer_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace

Result<void> CheckSqliteBuild() {
  const int version = sqlite3_libversion_number();
  const bool fixed = version >= kFixedBugVersion && version < kWithdrawnVersion;
  if (!fixed && version < kNextGoodVersion) {
    return Fail(Errc::kUnsupported,
                fmt::format("SQLite {} can corrupt a WAL database or was withdrawn: 3.51.3, or "
                            "3.53.0 and later, is needed",
                            sqlite3_libversion()));
  }
  if (std::string_view(sqlite3_sourceid()) != SQLITE_SOURCE_ID) {
    return Fail(Errc::kUnsupported, "the SQLite that is linked is not the one compiled against");
  }
  for (const char* option : {"ENABLE_SNAPSHOT", "OMIT_SHARED_CACHE"}) {
    if (sqlite3_compileoption_used(option) == 0) {
      return Fail(Errc::kUnsupported, fmt::format("SQLite was compiled without {}", option));
    }
  }
  if (sqlite3_threadsafe() == 0 || sqlite3_compileoption_used("OMIT_WAL") != 0 ||
      sqlite3_compileoption_used("ENABLE_SETLK_TIMEOUT") != 0) {
    return Fail(Errc::kUnsupported, "SQLite was compiled with options this program cannot use");
  }
  return {};
}

Result<void> SelfTestWalIndexLayout(fs::FileSystem& file_system, const fs::Path& directory) {
  RUNNEL_TRY_VOID(CheckSqliteBuild());
  ScratchFile scratch(file_system, directory);
  RUNNEL_TRY_VOID(scratch.Create());
  return LayoutTest(file_system, scratch.path()).Run();
}

}  // namespace runnel::sqlite
