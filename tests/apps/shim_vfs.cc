#include "apps/shim_vfs.h"

#include <utility>

namespace runnel::apps {
namespace {

// What SQLite allocates for each open file; the default VFS's own file lies behind it.
struct ShimFile {
  sqlite3_file base;
  ShimVfs* shim;
  int flags;

  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
  bool IsWal() const { return (flags & SQLITE_OPEN_WAL) != 0; }
  bool IsDatabase() const { return (flags & SQLITE_OPEN_MAIN_DB) != 0; }
};

ShimFile& Shim(sqlite3_file* file) { return *reinterpret_cast<ShimFile*>(file); }

// Forwards a method of sqlite3_io_methods to the real file.
template <auto method, class... Args>
auto Forward(sqlite3_file* file, Args... args) {
  sqlite3_file* real = Shim(file).real();
  return (real->pMethods->*method)(real, args...);
}

int Close(sqlite3_file* file) {
  const int code = Forward<&sqlite3_io_methods::xClose>(file);
  file->pMethods = nullptr;
  return code;
}

int Write(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
  ShimFile& shim = Shim(file);
  if (shim.IsWal()) shim.shim->Pass(Point::kWalWrite);
  if (shim.IsDatabase()) shim.shim->Pass(Point::kDbWrite);
  return Forward<&sqlite3_io_methods::xWrite>(file, data, size, offset);
}

int Sync(sqlite3_file* file, int flags) {
  const int code = Forward<&sqlite3_io_methods::xSync>(file, flags);
  if (Shim(file).IsWal()) Shim(file).shim->Pass(Point::kWalSync);
  return code;
}

int Unfetch(sqlite3_file* file, sqlite3_int64 offset, void* page) {
  if (page == nullptr && Shim(file).IsDatabase()) Shim(file).shim->Pass(Point::kUnfetch);
  return Forward<&sqlite3_io_methods::xUnfetch>(file, offset, page);
}

using Methods = sqlite3_io_methods;

constexpr Methods kMethods = {
    .iVersion = 3,
    .xClose = Close,
    .xRead = Forward<&Methods::xRead, void*, int, sqlite3_int64>,
    .xWrite = Write,
    .xTruncate = Forward<&Methods::xTruncate, sqlite3_int64>,
    .xSync = Sync,
    .xFileSize = Forward<&Methods::xFileSize, sqlite3_int64*>,
    .xLock = Forward<&Methods::xLock, int>,
    .xUnlock = Forward<&Methods::xUnlock, int>,
    .xCheckReservedLock = Forward<&Methods::xCheckReservedLock, int*>,
    .xFileControl = Forward<&Methods::xFileControl, int, void*>,
    .xSectorSize = Forward<&Methods::xSectorSize>,
    .xDeviceCharacteristics = Forward<&Methods::xDeviceCharacteristics>,
    .xShmMap = Forward<&Methods::xShmMap, int, int, int, void volatile**>,
    .xShmLock = Forward<&Methods::xShmLock, int, int, int>,
    .xShmBarrier = Forward<&Methods::xShmBarrier>,
    .xShmUnmap = Forward<&Methods::xShmUnmap, int>,
    .xFetch = Forward<&Methods::xFetch, sqlite3_int64, int, void**>,
    .xUnfetch = Unfetch,
};

sqlite3_vfs* DefaultVfs() { return sqlite3_vfs_find("unix"); }

int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  ShimFile& shim = Shim(file);
  shim.base.pMethods = nullptr;
  shim.shim = static_cast<ShimVfs*>(vfs->pAppData);
  shim.flags = flags;
  const int code = DefaultVfs()->xOpen(DefaultVfs(), name, shim.real(), flags, out_flags);
  if (shim.real()->pMethods != nullptr) shim.base.pMethods = &kMethods;
  return code;
}

}  // namespace

ShimVfs::ShimVfs(const std::string& name, std::function<void(Point)> reached)
    : name_("shim-" + name), reached_(std::move(reached)), vfs_(*DefaultVfs()) {
  vfs_.szOsFile += static_cast<int>(sizeof(ShimFile));
  vfs_.pNext = nullptr;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.xOpen = Open;
  sqlite3_vfs_register(&vfs_, 0);
}

ShimVfs::~ShimVfs() { sqlite3_vfs_unregister(&vfs_); }

void ShimVfs::Pass(Point point) {
  int& left = armed_[static_cast<std::size_t>(point)];
  if (left > 0 && --left == 0) reached_(point);
}

}  // namespace runnel::apps
