// Times as people write them on a command line.

#pragma once

#include <optional>
#include <string_view>

#include "base/clock.h"

namespace runnel::cli {

// RFC 3339: "2026-08-19T14:00:00Z", "2026-08-19T16:00:00.250+02:00". What is finer than a
// millisecond is cut off. Nothing if it is anything else, or no date.
std::optional<WallTime> ParseTime(std::string_view text);

}  // namespace runnel::cli
