# runnel_folder(NAME name DEPS targets...): one library, one test program, and one program a fuzzer
# and a benchmark, from the files of the current folder:
#
#   x.cc x.h     the library runnel_<name>
#   x_test.cc    the program <name>_test, registered with ctest test by test
#   x_fuzz.cc    the program <x>_fuzz, with RUNNEL_FUZZ
#   x_bench.cc   the program <name>_bench
#
# TEST_DEPS: what only the tests, fuzzers and benchmarks need.
#
# A test whose suite is named ...SlowTest has the ctest label `slow` and does not belong to what a
# change must pass; all others have the label `fast`.
include(GoogleTest)
include(CheckCXXCompilerFlag)

# BENCHMARK() uses __COUNTER__, which clang 22 calls an extension.
check_cxx_compiler_flag(-Wc2y-extensions RUNNEL_HAVE_WC2Y_EXTENSIONS)
add_library(runnel_bench_options INTERFACE)
if(RUNNEL_HAVE_WC2Y_EXTENSIONS)
  target_compile_options(runnel_bench_options INTERFACE -Wno-c2y-extensions)
endif()

# Registers each test of a gtest program with its label.
function(runnel_register_tests program)
  # `*` before the slash: typed suites (Suite/0.Name); after the dot nothing counts.
  gtest_discover_tests(${program} DISCOVERY_TIMEOUT 60
    TEST_FILTER "-*SlowTest.*:*SlowTest/*.*" TEST_LIST ${program}_fast
    PROPERTIES LABELS fast TIMEOUT 300)
  gtest_discover_tests(${program} DISCOVERY_TIMEOUT 60
    TEST_FILTER "*SlowTest.*:*SlowTest/*.*" TEST_LIST ${program}_slow
    PROPERTIES LABELS slow TIMEOUT 7200)
endfunction()

function(runnel_folder)
  cmake_parse_arguments(ARG "" "NAME" "DEPS;TEST_DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cc)
  file(GLOB tests CONFIGURE_DEPENDS *_test.cc)
  file(GLOB fuzzers CONFIGURE_DEPENDS *_fuzz.cc)
  file(GLOB benches CONFIGURE_DEPENDS *_bench.cc)
  list(REMOVE_ITEM sources ${tests} ${fuzzers} ${benches} "${CMAKE_CURRENT_SOURCE_DIR}/main.cc")

  set(library "runnel_${ARG_NAME}")
  if(sources)
    add_library(${library} STATIC ${sources})
    set(scope PUBLIC)
    target_link_libraries(${library} PRIVATE runnel_options)
  else()
    add_library(${library} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${library} ${scope} "${CMAKE_SOURCE_DIR}/src")
  target_link_libraries(${library} ${scope} ${ARG_DEPS})

  if(tests)
    add_executable(${ARG_NAME}_test ${tests})
    target_link_libraries(${ARG_NAME}_test PRIVATE
      runnel_options ${library} ${ARG_TEST_DEPS} GTest::gmock GTest::gtest_main)
    runnel_register_tests(${ARG_NAME}_test)
  endif()
  if(benches)
    add_executable(${ARG_NAME}_bench ${benches})
    target_link_libraries(${ARG_NAME}_bench PRIVATE
      runnel_options runnel_bench_options ${library} ${ARG_TEST_DEPS} benchmark::benchmark_main)
  endif()
  if(RUNNEL_FUZZ)
    foreach(fuzzer ${fuzzers})
      get_filename_component(program ${fuzzer} NAME_WE)
      add_executable(${program} ${fuzzer})
      target_link_libraries(${program} PRIVATE runnel_options ${library} ${ARG_TEST_DEPS})
      target_link_options(${program} PRIVATE -fsanitize=fuzzer)
    endforeach()
  endif()
endfunction()
