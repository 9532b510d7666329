#include "sqlite/sqlite_error.h"

#include <fmt/format.h>
#include <pwd.h>
#include <sqlite3.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace runnel::sqlite {
namespace {

struct NamedCode {
  int code;
  const char* name;
};

#define RUNNEL_CODE(code) \
  NamedCode { code, #code }

// Those that code outside of SQL execution can meet.
constexpr auto kNames = std::to_array<NamedCode>({
    RUNNEL_CODE(SQLITE_ERROR),
    RUNNEL_CODE(SQLITE_INTERNAL),
    RUNNEL_CODE(SQLITE_PERM),
    RUNNEL_CODE(SQLITE_ABORT),
    RUNNEL_CODE(SQLITE_BUSY),
    RUNNEL_CODE(SQLITE_LOCKED),
    RUNNEL_CODE(SQLITE_NOMEM),
    RUNNEL_CODE(SQLITE_READONLY),
    RUNNEL_CODE(SQLITE_INTERRUPT),
    RUNNEL_CODE(SQLITE_IOERR),
    RUNNEL_CODE(SQLITE_CORRUPT),
    RUNNEL_CODE(SQLITE_NOTFOUND),
    RUNNEL_CODE(SQLITE_FULL),
    RUNNEL_CODE(SQLITE_CANTOPEN),
    RUNNEL_CODE(SQLITE_PROTOCOL),
    RUNNEL_CODE(SQLITE_SCHEMA),
    RUNNEL_CODE(SQLITE_TOOBIG),
    RUNNEL_CODE(SQLITE_MISUSE),
    RUNNEL_CODE(SQLITE_NOLFS),
    RUNNEL_CODE(SQLITE_AUTH),
    RUNNEL_CODE(SQLITE_RANGE),
    RUNNEL_CODE(SQLITE_NOTADB),
    RUNNEL_CODE(SQLITE_ERROR_SNAPSHOT),
    RUNNEL_CODE(SQLITE_BUSY_RECOVERY),
    RUNNEL_CODE(SQLITE_BUSY_SNAPSHOT),
    RUNNEL_CODE(SQLITE_BUSY_TIMEOUT),
    RUNNEL_CODE(SQLITE_IOERR_READ),
    RUNNEL_CODE(SQLITE_IOERR_SHORT_READ),
    RUNNEL_CODE(SQLITE_IOERR_WRITE),
    RUNNEL_CODE(SQLITE_IOERR_FSYNC),
    RUNNEL_CODE(SQLITE_IOERR_DIR_FSYNC),
    RUNNEL_CODE(SQLITE_IOERR_TRUNCATE),
    RUNNEL_CODE(SQLITE_IOERR_FSTAT),
    RUNNEL_CODE(SQLITE_IOERR_UNLOCK),
    RUNNEL_CODE(SQLITE_IOERR_RDLOCK),
    RUNNEL_CODE(SQLITE_IOERR_DELETE),
    RUNNEL_CODE(SQLITE_IOERR_NOMEM),
    RUNNEL_CODE(SQLITE_IOERR_ACCESS),
    RUNNEL_CODE(SQLITE_IOERR_CHECKRESERVEDLOCK),
    RUNNEL_CODE(SQLITE_IOERR_LOCK),
    RUNNEL_CODE(SQLITE_IOERR_CLOSE),
    RUNNEL_CODE(SQLITE_IOERR_DIR_CLOSE),
    RUNNEL_CODE(SQLITE_IOERR_SHMOPEN),
    RUNNEL_CODE(SQLITE_IOERR_SHMSIZE),
    RUNNEL_CODE(SQLITE_IOERR_SHMLOCK),
    RUNNEL_CODE(SQLITE_IOERR_SHMMAP),
    RUNNEL_CODE(SQLITE_IOERR_SEEK),
    RUNNEL_CODE(SQLITE_IOERR_DELETE_NOENT),
    RUNNEL_CODE(SQLITE_IOERR_DATA),
    RUNNEL_CODE(SQLITE_IOERR_CORRUPTFS),
    RUNNEL_CODE(SQLITE_CANTOPEN_ISDIR),
    RUNNEL_CODE(SQLITE_CANTOPEN_FULLPATH),
    RUNNEL_CODE(SQLITE_CANTOPEN_SYMLINK),
    RUNNEL_CODE(SQLITE_READONLY_RECOVERY),
    RUNNEL_CODE(SQLITE_READONLY_CANTLOCK),
    RUNNEL_CODE(SQLITE_READONLY_ROLLBACK),
    RUNNEL_CODE(SQLITE_READONLY_DBMOVED),
    RUNNEL_CODE(SQLITE_READONLY_CANTINIT),
    RUNNEL_CODE(SQLITE_READONLY_DIRECTORY),
});
#undef RUNNEL_CODE

constexpr int Primary(int code) { return code & 0xff; }

const char* FindName(int code) {
  for (const NamedCode& named : kNames) {
    if (named.code == code) return named.name;
  }
  return nullptr;
}

std::string UserName() {
  const uid_t uid = geteuid();
  std::array<char, 4096> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
    return fmt::format("user {} (uid {})", found->pw_name, uid);
  }
  return fmt::format("uid {}", uid);
}

bool MayComeFromErrno(int code) {
  switch (Primary(code)) {
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_FULL:
    case SQLITE_READONLY: return true;
    default: return false;
  }
}

}  // namespace

std::string CodeName(int code) {
  if (const char* name = FindName(code)) return name;
  const char* primary = FindName(Primary(code));
  return fmt::format("{}({})", primary != nullptr ? primary : "SQLITE_", code);
}

Errc CodeToErrc(int code, int system_errno) {
  if (system_errno != 0 && MayComeFromErrno(code)) {
    const Errc from_errno = Error::FromErrno(system_errno, "").code();
    switch (from_errno) {
      case Errc::kNoSpace:
      case Errc::kPermissionDenied:
      case Errc::kNotFound:
      case Errc::kUnavailable:  // out of descriptors or memory
        return from_errno;
      default: break;
    }
  }
  switch (Primary(code)) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:  // lost the race for a read slot 100 times
      return Errc::kBusy;
    case SQLITE_FULL: return Errc::kNoSpace;
    case SQLITE_NOMEM: return Errc::kUnavailable;
    case SQLITE_IOERR: return code == SQLITE_IOERR_NOMEM ? Errc::kUnavailable : Errc::kIo;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY: return Errc::kPermissionDenied;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT: return Errc::kCorruption;
    case SQLITE_INTERRUPT: return Errc::kCancelled;
    default: return Errc::kInternal;
  }
}

Error MakeError(int code, int system_errno, std::string_view path, std::string_view what) {
  const Errc errc = CodeToErrc(code, system_errno);
  std::string message = fmt::format("{}: {}: {}", path, what, CodeName(code));
  if (system_errno != 0 && MayComeFromErrno(code)) {
    message += fmt::format(" ({})", std::generic_category().message(system_errno));
  }
  if (errc == Errc::kPermissionDenied) message += " as " + UserName();
  return {errc, std::move(message)};
}

}  // namespace runnel::sqlite
