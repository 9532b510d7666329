#include "fs/system_paths.h"

#include <system_error>

namespace runnel::fs {

Result<Path> WorkingDirectory() {
  std::error_code code;
  Path path = std::filesystem::current_path(code);
  if (code) return Fail(Error::FromErrno(code.value(), "the working directory"));
  return path;
}

Path TemporaryDirectory() {
  std::error_code code;
  Path path = std::filesystem::temp_directory_path(code);
  return code ? Path("/tmp") : path;
}

Result<Path> RealPath(const Path& path) {
  std::error_code code;
  Path real = std::filesystem::weakly_canonical(path, code);
  if (code) return Fail(Error::FromErrno(code.value(), path.string()));
  return real;
}

}  // namespace runnel::fs
