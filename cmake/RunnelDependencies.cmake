# Libraries of others. tools/setup installs them; versions and reasons are in
# docs/decisions/0002-dependencies.md.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)
find_package(GTest REQUIRED)
find_package(benchmark REQUIRED)
find_package(CLI11 REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CURL 7.85 REQUIRED)
find_package(OpenSSL 3 REQUIRED COMPONENTS Crypto)
find_package(pugixml REQUIRED)
pkg_check_modules(LZ4 REQUIRED IMPORTED_TARGET liblz4)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(ISAL IMPORTED_TARGET libisal)

# SQLite, compiled in: the daemon's safety depends on the exact version, so the system's is never used
# (docs/decisions/0002-dependencies.md). tools/fetch-sqlite puts the pinned amalgamation there.
set(RUNNEL_SQLITE_VERSION 3.53.2)
if(DEFINED ENV{XDG_CACHE_HOME})
  set(runnel_cache "$ENV{XDG_CACHE_HOME}/runnel")
else()
  set(runnel_cache "$ENV{HOME}/.cache/runnel")
endif()
set(RUNNEL_SQLITE_DIR "${runnel_cache}/sqlite-${RUNNEL_SQLITE_VERSION}" CACHE PATH
  "Folder with sqlite3.c and sqlite3.h")
if(NOT EXISTS "${RUNNEL_SQLITE_DIR}/sqlite3.c")
  message(FATAL_ERROR "No sqlite3.c in ${RUNNEL_SQLITE_DIR}: run tools/fetch-sqlite first")
endif()

add_library(runnel_sqlite3 STATIC "${RUNNEL_SQLITE_DIR}/sqlite3.c")
target_include_directories(runnel_sqlite3 SYSTEM PUBLIC "${RUNNEL_SQLITE_DIR}")
target_compile_definitions(runnel_sqlite3 PUBLIC
  SQLITE_THREADSAFE=2
  SQLITE_DQS=0
  SQLITE_DEFAULT_MEMSTATUS=0
  SQLITE_OMIT_LOAD_EXTENSION
  SQLITE_OMIT_SHARED_CACHE
  SQLITE_ENABLE_DBPAGE_VTAB
  SQLITE_ENABLE_SNAPSHOT
  SQLITE_ENABLE_SESSION
  SQLITE_ENABLE_PREUPDATE_HOOK
  SQLITE_ENABLE_API_ARMOR)
# Without this each connection's page cache starts with 20 pages, 85 KB: most of an idle database.
target_compile_definitions(runnel_sqlite3 PRIVATE SQLITE_DEFAULT_PCACHE_INITSZ=0)
# What SQLite's own configure script finds out, and the amalgamation alone does not know: without
# them each sync of a checkpoint also commits the file's time to the file system's journal, and each
# read or write of a page is two calls.
target_compile_definitions(runnel_sqlite3 PRIVATE HAVE_FDATASYNC=1 HAVE_PREAD=1 HAVE_PWRITE=1)
target_compile_options(runnel_sqlite3 PRIVATE -w)
# Optimized in every preset: an unoptimized SQLite makes the tests slow and finds nothing. The same
# flags in dev and release, so that ccache compiles it once: it takes longer than all else.
target_compile_options(runnel_sqlite3 PRIVATE -O2)
if(runnel_foreign_sanitize)
  target_compile_options(runnel_sqlite3 PRIVATE "-fsanitize=${runnel_foreign_sanitize}" -O1)
endif()
target_link_libraries(runnel_sqlite3 PUBLIC Threads::Threads)
