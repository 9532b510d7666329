// A command of the user's, run by the shell.

#pragma once

#include <string>

#include "base/result.h"

namespace runnel::runtime {

// What `command` wrote to its standard output, at most 64 KiB. Blocks until it ends; fails unless
// it ends with 0. Its standard error is ours.
Result<std::string> RunShellCommand(const std::string& command);

}  // namespace runnel::runtime
