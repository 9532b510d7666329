# What every target of ours is built with.

set(RUNNEL_SANITIZE "" CACHE STRING "Sanitizers, e.g. address,undefined or thread")
option(RUNNEL_FUZZ "Build the libFuzzer targets" OFF)

find_program(RUNNEL_CCACHE ccache)
if(RUNNEL_CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER "${RUNNEL_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${RUNNEL_CCACHE}")
endif()

find_program(RUNNEL_MOLD mold)
if(RUNNEL_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# Reproducible paths, and cache hits from any checkout.
add_compile_options("-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=")

add_library(runnel_options INTERFACE)
target_compile_options(runnel_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wimplicit-fallthrough
  -Wnon-virtual-dtor -Werror)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(runnel_options INTERFACE -Wthread-safety)
endif()

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
