// SQLite's own check of a database that nobody uses.

#pragma once

#include "base/result.h"
#include "fs/file_system.h"

namespace runnel::sqlite {

enum class IntegrityCheck : std::uint8_t { kQuick, kFull };

// Runs PRAGMA quick_check or integrity_check on a closed file that no other program has open and
// that has no WAL beside it; changes nothing and leaves nothing. kCorruption with what SQLite said
// first.
Result<void> CheckIntegrity(const fs::Path& path, IntegrityCheck check);

}  // namespace runnel::sqlite
