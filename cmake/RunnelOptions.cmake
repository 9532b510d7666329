# What every target of ours is built with.

set(RUNNEL_SANITIZE "" CACHE STRING "Sanitizers, e.g. address,undefined or thread")
option(RUNNEL_FUZZ "Build the libFuzzer targets" OFF)

find_program(RUNNEL_CCACHE ccache)
if(RUNNEL_CCACHE)
  # Paths below the source tree are hashed as relative ones, so that any checkout hits.
  set(runnel_launcher ${CMAKE_COMMAND} -E env
    "CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}" CCACHE_NOHASHDIR=1 "${RUNNEL_CCACHE}")
  set(CMAKE_C_COMPILER_LAUNCHER "${runnel_launcher}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${runnel_launcher}")
endif()

find_program(RUNNEL_MOLD mold)
if(RUNNEL_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# Binaries that do not depend on where they were built.
add_compile_options("-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=")

add_library(runnel_options INTERFACE)
target_compile_options(runnel_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wimplicit-fallthrough
  -Wnon-virtual-dtor -Werror)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(runnel_options INTERFACE -Wthread-safety)
endif()
# Bounds of vector, span and string_view are checked in every build: a daemon that stops is better
# than one that ships what lay behind a buffer.
target_compile_definitions(runnel_options INTERFACE _GLIBCXX_ASSERTIONS)

# Sanitizers that hold for code of others too (SQLite): all but undefined behaviour.
set(runnel_foreign_sanitize "${RUNNEL_SANITIZE}")
list(TRANSFORM runnel_foreign_sanitize REPLACE ",?undefined" "")

if(RUNNEL_SANITIZE)
  target_compile_options(runnel_options INTERFACE
    "-fsanitize=${RUNNEL_SANITIZE}" -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options("-fsanitize=${RUNNEL_SANITIZE}")
endif()
if(RUNNEL_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
