// Places of this machine and this process.

#pragma once

#include "base/result.h"
#include "fs/file_system.h"

namespace runnel::fs {

Result<Path> WorkingDirectory();

// For scratch files: TMPDIR, else /tmp.
Path TemporaryDirectory();

// `path` without symbolic links, as far as it exists; what does not is kept as it is.
Result<Path> RealPath(const Path& path);

}  // namespace runnel::fs
