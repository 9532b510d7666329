#include "scenario/fault_vfs.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

#include "base/check.h"

namespace runnel::scenario {
namespace {

// What SQLite allocates for each open file; the default VFS's own file lies behind it.
struct FaultFile {
  sqlite3_file base;
  FaultVfs* vfs;
  const char* name;  // SQLite keeps it for as long as the file is open
  int mapped;        // regions of shared memory

  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

FaultFile& Fault(sqlite3_file* file) { return *reinterpret_cast<FaultFile*>(file); }

// Forwards a method of sqlite3_io_methods to the real file.
template <auto method, class... Args>
auto Forward(sqlite3_file* file, Args... args) {
  sqlite3_file* real = Fault(file).real();
  return (real->pMethods->*method)(real, args...);
}

bool Fails(sqlite3_file* file, std::string_view call) {
  return Fault(file).vfs->Fails(call, Fault(file).name);
}

int Close(sqlite3_file* file) {
  const int code = Forward<&sqlite3_io_methods::xClose>(file);
  file->pMethods = nullptr;
  return code;
}

int Read(sqlite3_file* file, void* data, int size, sqlite3_int64 offset) {
  if (Fails(file, "read")) return SQLITE_IOERR_READ;
  return Forward<&sqlite3_io_methods::xRead>(file, data, size, offset);
}

// Half of it is written.
int Write(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
  if (Fails(file, "write")) {
    Forward<&sqlite3_io_methods::xWrite>(file, data, size / 2, offset);
    return SQLITE_FULL;
  }
  return Forward<&sqlite3_io_methods::xWrite>(file, data, size, offset);
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  if (Fails(file, "truncate")) return SQLITE_IOERR_TRUNCATE;
  return Forward<&sqlite3_io_methods::xTruncate>(file, size);
}

int Sync(sqlite3_file* file, int) { return Fails(file, "sync") ? SQLITE_IOERR_FSYNC : SQLITE_OK; }

int FileSize(sqlite3_file* file, sqlite3_int64* size) {
  if (Fails(file, "size")) return SQLITE_IOERR_FSTAT;
  return Forward<&sqlite3_io_methods::xFileSize>(file, size);
}

int Lock(sqlite3_file* file, int level) {
  if (Fails(file, "lock")) return SQLITE_IOERR_LOCK;
  return Forward<&sqlite3_io_methods::xLock>(file, level);
}

int ShmMap(sqlite3_file* file, int region, int size, int extend, void volatile** memory) {
  const bool is_new = region >= Fault(file).mapped;
  if (is_new && Fails(file, "shm map")) {
    *memory = nullptr;
    return SQLITE_IOERR_SHMMAP;
  }
  const int code = Forward<&sqlite3_io_methods::xShmMap>(file, region, size, extend, memory);
  if (is_new && code == SQLITE_OK && *memory != nullptr) Fault(file).mapped = region + 1;
  return code;
}

int ShmLock(sqlite3_file* file, int offset, int count, int flags) {
  if ((flags & SQLITE_SHM_LOCK) != 0 && Fails(file, "shm lock")) return SQLITE_IOERR_SHMLOCK;
  return Forward<&sqlite3_io_methods::xShmLock>(file, offset, count, flags);
}

int ShmUnmap(sqlite3_file* file, int delete_it) {
  Fault(file).mapped = 0;
  return Forward<&sqlite3_io_methods::xShmUnmap>(file, delete_it);
}

using Methods = sqlite3_io_methods;

constexpr Methods kMethods = {
    .iVersion = 3,
    .xClose = Close,
    .xRead = Read,
    .xWrite = Write,
    .xTruncate = Truncate,
    .xSync = Sync,
    .xFileSize = FileSize,
    .xLock = Lock,
    .xUnlock = Forward<&Methods::xUnlock, int>,
    .xCheckReservedLock = Forward<&Methods::xCheckReservedLock, int*>,
    .xFileControl = Forward<&Methods::xFileControl, int, void*>,
    .xSectorSize = Forward<&Methods::xSectorSize>,
    .xDeviceCharacteristics = Forward<&Methods::xDeviceCharacteristics>,
    .xShmMap = ShmMap,
    .xShmLock = ShmLock,
    .xShmBarrier = Forward<&Methods::xShmBarrier>,
    .xShmUnmap = ShmUnmap,
    .xFetch = Forward<&Methods::xFetch, sqlite3_int64, int, void**>,
    .xUnfetch = Forward<&Methods::xUnfetch, sqlite3_int64, void*>,
};

sqlite3_vfs* RealVfs() { return sqlite3_vfs_find("unix"); }

FaultVfs& Self(sqlite3_vfs* vfs) { return *static_cast<FaultVfs*>(vfs->pAppData); }

int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  FaultFile& fault = Fault(file);
  fault.base.pMethods = nullptr;
  fault.vfs = &Self(vfs);
  fault.name = name;
  fault.mapped = 0;
  if (Self(vfs).Fails("open", name)) return SQLITE_CANTOPEN;
  const int code = RealVfs()->xOpen(RealVfs(), name, fault.real(), flags, out_flags);
  if (fault.real()->pMethods != nullptr) fault.base.pMethods = &kMethods;
  return code;
}

int Delete(sqlite3_vfs* vfs, const char* name, int) {
  constexpr int kNoSync = 0;
  if (Self(vfs).Fails("delete", name)) return SQLITE_IOERR_DELETE;
  return RealVfs()->xDelete(RealVfs(), name, kNoSync);
}

int Access(sqlite3_vfs* vfs, const char* name, int flags, int* result) {
  if (Self(vfs).Fails("access", name)) return SQLITE_IOERR_ACCESS;
  return RealVfs()->xAccess(RealVfs(), name, flags, result);
}

}  // namespace

FaultVfs::FaultVfs(std::string name) : name_(std::move(name)), vfs_(*RealVfs()) {
  vfs_.szOsFile += static_cast<int>(sizeof(FaultFile));
  vfs_.pNext = nullptr;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.xOpen = Open;
  vfs_.xDelete = Delete;
  vfs_.xAccess = Access;
  RUNNEL_CHECK(sqlite3_vfs_register(&vfs_, 0) == SQLITE_OK);
}

FaultVfs::~FaultVfs() { sqlite3_vfs_unregister(&vfs_); }

void FaultVfs::FailAt(std::uint64_t n, Duration duration) {
  call_count_ = 0;
  failure_count_ = 0;
  fail_at_ = n;
  duration_ = duration;
}

bool FaultVfs::Fails(std::string_view call, const char* file) {
  ++call_count_;
  const bool fails =
      fail_at_ != 0 &&
      (call_count_ == fail_at_ || (duration_ == Duration::kFromThenOn && call_count_ > fail_at_));
  const char* base = file == nullptr ? "(temporary)" : std::strrchr(file, '/');
  recent_.push_back(fmt::format("{:5} {} {}{}", call_count_, call, base == nullptr ? file : base,
                                fails ? "  FAILED" : ""));
  if (recent_.size() > 40) recent_.pop_front();
  if (fails) ++failure_count_;
  return fails;
}

std::string FaultVfs::RecentCalls() const { return fmt::format("{}", fmt::join(recent_, "\n")); }

}  // namespace runnel::scenario
