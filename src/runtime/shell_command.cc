#include "runtime/shell_command.h"

#include <cerrno>
#include <cstdio>

#include "base/check.h"

namespace runnel::runtime {
namespace {

constexpr std::size_t kOutputMax = 64 << 10;

}  // namespace

Result<std::string> RunShellCommand(const std::string& command) {
  std::FILE* const pipe = ::popen(command.c_str(), "re");
  if (pipe == nullptr) return Fail(Error::FromErrno(errno, "cannot start a command"));
  std::string output;
  char piece[4096];
  bool too_long = false;
  // Read to the end in any case: a command that cannot write any more would not end well.
  while (const std::size_t count = std::fread(piece, 1, sizeof piece, pipe)) {
    too_long = too_long || output.size() + count > kOutputMax;
    if (!too_long) output.append(piece, count);
  }
  const int status = ::pclose(pipe);
  if (status != 0) {
    return Fail(Errc::kUnavailable,
                "the command did not end well (status " + std::to_string(status) + ")");
  }
  if (too_long) return Fail(Errc::kCorruption, "the command wrote more than 64 KiB");
  return output;
}

}  // namespace runnel::runtime
