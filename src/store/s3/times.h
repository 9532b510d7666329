// Times as they stand in headers and XML.

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace runnel::store::s3 {

// "2026-08-19T14:53:14.12Z": milliseconds without zeros at the end, as Go's RFC3339Nano.
std::string FormatRfc3339(WallTime time);

// With any number of digits behind the seconds and any offset; finer than milliseconds is cut off.
std::optional<WallTime> ParseRfc3339(std::string_view text);

// "Fri, 24 May 2013 00:00:00 GMT", of headers such as Last-Modified.
std::optional<WallTime> ParseHttpDate(std::string_view text);

}  // namespace runnel::store::s3
