// Names of files that are not finished. Everything that ends in ".tmp" is rubbish once its writer
// is dead: readers skip it (Litestream too), sweeps delete it.

#pragma once

#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "fs/file_system.h"

namespace runnel::fs {

bool IsTemporaryName(std::string_view name);

// "<path>.tmp": for a path that only one writer at a time can have. A stale one is in the way
// of nobody, the next writer replaces it.
Path TemporaryPath(const Path& path);

// "<path>.<16 random hex>.tmp", the name cut where it would become too long: for any number of
// writers.
Path UniqueTemporaryPath(const Path& path, Random& random);
// Whether a name is of that form: no other program's, by all odds.
bool IsUniqueTemporaryName(std::string_view name);

// Removes every temporary file directly in `directory`; how many. Only for a directory that has
// no other writer now. A missing directory has none.
Result<std::size_t> RemoveTemporaryFiles(FileSystem& files, const Path& directory);

}  // namespace runnel::fs
