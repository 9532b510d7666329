// SQLite's result codes as Errors. Used inside this folder.

#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace runnel::sqlite {

// "SQLITE_IOERR_SHMSIZE"; an extended code without a name of its own is its primary name with the
// number behind it.
std::string CodeName(int code);

// The Errc for an (extended) result code. `system_errno` is that of the failed system call, 0 if
// there was none: SQLite folds a full disk or a missing right into codes that do not say so.
Errc CodeToErrc(int code, int system_errno);

// "<path>: <what>: SQLITE_CANTOPEN (Permission denied) as user app (uid 1000)".
Error MakeError(int code, int system_errno, std::string_view path, std::string_view what);

}  // namespace runnel::sqlite
