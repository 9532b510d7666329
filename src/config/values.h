// The forms in which a configuration file writes its values. Pure; nothing for text that is not of
// the form, or does not fit.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace runnel::config {

// As Go's time.ParseDuration: "1h30m", "1.5s", "300ms", "0"; units ns us ms s m h. A number
// without unit is none, but for 0.
std::optional<std::chrono::nanoseconds> ParseDuration(std::string_view text);

// Bytes: "1048576", "64MiB", "1.5 GB"; K/KB M/MB.. are powers of 1000, Ki/KiB.. of 1024.
std::optional<std::uint64_t> ParseSize(std::string_view text);

// As YAML 1.1: true yes on y, false no off n, in lower, upper or title case.
std::optional<bool> ParseBool(std::string_view text);

// As YAML 1.1: decimal, 0x.., 0o.., and octal after a leading 0; '_' between digits.
std::optional<std::int64_t> ParseInteger(std::string_view text);

// Permission bits: an integer as above (0600, 0o600, 384), at most 0777.
std::optional<std::uint32_t> ParseFileMode(std::string_view text);

}  // namespace runnel::config
