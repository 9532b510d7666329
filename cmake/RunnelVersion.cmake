# The library runnel_version, behind base/version.h. Its one source is written anew at each build,
# and touched only where the commit changed: a commit costs one small compile and one link.

set(runnel_write_version ${CMAKE_COMMAND}
  "-DSOURCE=${CMAKE_SOURCE_DIR}" "-DTEMPLATE=${CMAKE_CURRENT_LIST_DIR}/version.cc.in"
  "-DOUTPUT=${CMAKE_BINARY_DIR}/version.cc" "-DVERSION=${PROJECT_VERSION}"
  "-DBUILD_TYPE=${CMAKE_BUILD_TYPE}" -P "${CMAKE_CURRENT_LIST_DIR}/WriteVersion.cmake")

add_custom_target(runnel_write_version
  COMMAND ${runnel_write_version}
  BYPRODUCTS "${CMAKE_BINARY_DIR}/version.cc"
  VERBATIM)
add_library(runnel_version STATIC EXCLUDE_FROM_ALL "${CMAKE_BINARY_DIR}/version.cc")
add_dependencies(runnel_version runnel_write_version)
target_include_directories(runnel_version PUBLIC "${CMAKE_SOURCE_DIR}/src")
target_link_libraries(runnel_version PRIVATE runnel_options)
