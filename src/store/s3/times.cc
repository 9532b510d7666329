#include "store/s3/times.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace runnel::store::s3 {
namespace {

using std::chrono::milliseconds;

// Takes pieces of a text from its front.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool Skip(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }

  // Exactly `digits` digits.
  std::optional<int> Number(std::size_t digits) {
    if (rest_.size() < digits) return std::nullopt;
    int value = 0;
    for (const char c : rest_.substr(0, digits)) {
      if (c < '0' || c > '9') return std::nullopt;
      value = value * 10 + (c - '0');
    }
    rest_.remove_prefix(digits);
    return value;
  }

  // ".123456" as milliseconds; 0 where there is no point.
  std::optional<milliseconds> Fraction() {
    if (!Skip(".")) return milliseconds(0);
    int value = 0;
    std::size_t digits = 0;
    for (; !rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9'; ++digits) {
      if (digits < 3) value = value * 10 + (rest_.front() - '0');
      rest_.remove_prefix(1);
    }
    if (digits == 0) return std::nullopt;
    for (; digits < 3; ++digits) value *= 10;
    return milliseconds(value);
  }

  std::string_view Take(std::size_t size) {
    const std::string_view front = rest_.substr(0, size);
    rest_.remove_prefix(front.size());
    return front;
  }

  bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

std::optional<WallTime> Combine(std::optional<int> year, std::optional<int> month,
                                std::optional<int> day, std::optional<int> hour,
                                std::optional<int> minute, std::optional<int> second) {
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(*hour) + std::chrono::minutes(*minute) +
         std::chrono::seconds(*second);
}

}  // namespace

std::string FormatRfc3339(WallTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  std::string text =
      fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                  clock.hours().count(), clock.minutes().count(), clock.seconds().count());
  if (clock.subseconds().count() != 0) {
    text += fmt::format(".{:03}", clock.subseconds().count());
    while (text.ends_with('0')) text.pop_back();
  }
  return text + "Z";
}

std::optional<WallTime> ParseRfc3339(std::string_view text) {
  Scanner in(text);
  const auto year = in.Number(4);
  if (!in.Skip("-")) return std::nullopt;
  const auto month = in.Number(2);
  if (!in.Skip("-")) return std::nullopt;
  const auto day = in.Number(2);
  if (!in.Skip("T")) return std::nullopt;
  const auto hour = in.Number(2);
  if (!in.Skip(":")) return std::nullopt;
  const auto minute = in.Number(2);
  if (!in.Skip(":")) return std::nullopt;
  const auto second = in.Number(2);
  const auto fraction = in.Fraction();
  const auto time = Combine(year, month, day, hour, minute, second);
  if (!time || !fraction) return std::nullopt;
  if (in.Skip("Z")) return in.empty() ? std::optional(*time + *fraction) : std::nullopt;
  const bool is_east = in.Skip("+");
  if (!is_east && !in.Skip("-")) return std::nullopt;
  const auto hours = in.Number(2);
  if (!in.Skip(":")) return std::nullopt;
  const auto minutes = in.Number(2);
  if (!hours || !minutes || !in.empty()) return std::nullopt;
  const auto offset = std::chrono::hours(*hours) + std::chrono::minutes(*minutes);
  return *time + *fraction + (is_east ? -offset : offset);
}

std::optional<WallTime> ParseHttpDate(std::string_view text) {
  constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  Scanner in(text);
  in.Take(3);
  if (!in.Skip(", ")) return std::nullopt;
  const auto day = in.Number(2);
  if (!in.Skip(" ")) return std::nullopt;
  const auto* const month = std::ranges::find(kMonths, in.Take(3));
  if (month == kMonths.end() || !in.Skip(" ")) return std::nullopt;
  const auto year = in.Number(4);
  if (!in.Skip(" ")) return std::nullopt;
  const auto hour = in.Number(2);
  if (!in.Skip(":")) return std::nullopt;
  const auto minute = in.Number(2);
  if (!in.Skip(":")) return std::nullopt;
  const auto second = in.Number(2);
  if (!in.Skip(" GMT") || !in.empty()) return std::nullopt;
  return Combine(year, static_cast<int>(month - kMonths.begin()) + 1, day, hour, minute, second);
}

}  // namespace runnel::store::s3
