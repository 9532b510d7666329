#include "config/values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <string>
#include <utility>

namespace runnel::config {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// A decimal number with its fraction, kept apart so that nothing is rounded.
struct Decimal {
  std::uint64_t whole = 0;
  std::uint64_t fraction = 0;
  std::uint64_t fraction_unit = 1;  // a power of 10: the value is whole + fraction / unit
  std::size_t size = 0;             // characters taken; 0: no number
};

std::optional<Decimal> ParseDecimal(std::string_view text) {
  Decimal number;
  bool any_digit = false;
  for (; number.size < text.size() && IsDigit(text[number.size]); ++number.size) {
    const auto digit = static_cast<std::uint64_t>(text[number.size] - '0');
    if (__builtin_mul_overflow(number.whole, std::uint64_t{10}, &number.whole) ||
        __builtin_add_overflow(number.whole, digit, &number.whole)) {
      return std::nullopt;
    }
    any_digit = true;
  }
  if (number.size < text.size() && text[number.size] == '.') {
    for (++number.size; number.size < text.size() && IsDigit(text[number.size]); ++number.size) {
      any_digit = true;
      if (number.fraction_unit >= 1'000'000'000'000) continue;  // finer than anything we measure
      number.fraction = number.fraction * 10 + static_cast<std::uint64_t>(text[number.size] - '0');
      number.fraction_unit *= 10;
    }
  }
  if (!any_digit) return std::nullopt;
  return number;
}

// number * unit, rounded down.
std::optional<std::uint64_t> Scale(const Decimal& number, std::uint64_t unit) {
  __extension__ using Wide = unsigned __int128;
  const Wide value =
      Wide{number.whole} * unit + Wide{number.fraction} * unit / number.fraction_unit;
  if (value > std::numeric_limits<std::uint64_t>::max()) return std::nullopt;
  return static_cast<std::uint64_t>(value);
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

constexpr std::array<std::pair<std::string_view, std::uint64_t>, 8> kTimeUnits = {{
    {"ns", 1},
    {"us", 1'000},
    {"\u00b5s", 1'000},  // micro sign
    {"\u03bcs", 1'000},  // mu
    {"ms", 1'000'000},
    {"s", 1'000'000'000},
    {"m", 60'000'000'000},
    {"h", 3'600'000'000'000},
}};

}  // namespace

std::optional<std::chrono::nanoseconds> ParseDuration(std::string_view text) {
  bool negative = false;
  if (text.starts_with('-') || text.starts_with('+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text == "0") return std::chrono::nanoseconds(0);
  if (text.empty()) return std::nullopt;
  std::uint64_t total = 0;
  while (!text.empty()) {
    const std::optional<Decimal> number = ParseDecimal(text);
    if (!number) return std::nullopt;
    text.remove_prefix(number->size);
    std::size_t unit_size = 0;
    while (unit_size < text.size() && text[unit_size] != '.' && !IsDigit(text[unit_size])) {
      ++unit_size;
    }
    const auto* unit = std::ranges::find(kTimeUnits, text.substr(0, unit_size),
                                         &std::pair<std::string_view, std::uint64_t>::first);
    if (unit == kTimeUnits.end()) return std::nullopt;
    const std::optional<std::uint64_t> part = Scale(*number, unit->second);
    if (!part || __builtin_add_overflow(total, *part, &total)) return std::nullopt;
    text.remove_prefix(unit_size);
  }
  if (total > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) return std::nullopt;
  const auto value = static_cast<std::int64_t>(total);
  return std::chrono::nanoseconds(negative ? -value : value);
}

std::optional<std::uint64_t> ParseSize(std::string_view text) {
  const std::optional<Decimal> number = ParseDecimal(text);
  if (!number) return std::nullopt;
  text.remove_prefix(number->size);
  while (text.starts_with(' ')) text.remove_prefix(1);
  std::string unit = Lower(text);
  std::uint64_t base = 1000;
  if (unit.ends_with('b')) unit.pop_back();
  if (unit.ends_with('i')) {
    base = 1024;
    unit.pop_back();
    if (unit.empty()) return std::nullopt;  // "5iB"
  }
  std::uint64_t scale = 1;
  if (!unit.empty()) {
    const std::size_t power = std::string_view("kmgtpe").find(unit);
    if (unit.size() != 1 || power == std::string_view::npos) return std::nullopt;
    for (std::size_t i = 0; i <= power; ++i) scale *= base;
  }
  return Scale(*number, scale);
}

std::optional<bool> ParseBool(std::string_view text) {
  const std::string lower = Lower(text);
  std::string title = lower;
  if (!title.empty() && title[0] >= 'a' && title[0] <= 'z') {
    title[0] = static_cast<char>(title[0] - 'a' + 'A');
  }
  const bool all_upper = std::ranges::none_of(text, [](char c) { return c >= 'a' && c <= 'z'; });
  if (text != lower && text != title && !all_upper) return std::nullopt;
  for (const std::string_view word : {"true", "yes", "on", "y"}) {
    if (lower == word) return true;
  }
  for (const std::string_view word : {"false", "no", "off", "n"}) {
    if (lower == word) return false;
  }
  return std::nullopt;
}

std::optional<std::int64_t> ParseInteger(std::string_view text) {
  bool negative = false;
  if (text.starts_with('-') || text.starts_with('+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text.empty() || !IsDigit(text[0])) return std::nullopt;
  int base = 10;
  if (text.size() > 1 && text[0] == '0') {
    base = text[1] == 'x' ? 16 : 8;
    text.remove_prefix(text[1] == 'x' || text[1] == 'o' ? 2 : 1);
  }
  std::string digits(text);
  std::erase(digits, '_');
  std::int64_t value = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || end != digits.data() + digits.size() || digits[0] == '-') {
    return std::nullopt;
  }
  return negative ? -value : value;
}

std::optional<std::uint32_t> ParseFileMode(std::string_view text) {
  const std::optional<std::int64_t> mode = ParseInteger(text);
  if (!mode || *mode < 0 || *mode > 0777) return std::nullopt;
  return static_cast<std::uint32_t>(*mode);
}

}  // namespace runnel::config
