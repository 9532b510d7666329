#include "testing/s3/fake_s3_answer.h"

#include <fmt/format.h>

#include <array>
#include <cstdio>

namespace runnel::testing {
namespace {

struct Civil {
  explicit Civil(WallTime time)
      : day(std::chrono::floor<std::chrono::days>(time)), date(day), clock(time - day) {}

  std::chrono::sys_days day;
  std::chrono::year_month_day date;
  std::chrono::hh_mm_ss<std::chrono::milliseconds> clock;
  int year() const { return static_cast<int>(date.year()); }
  unsigned month() const { return static_cast<unsigned>(date.month()); }
  unsigned day_of_month() const { return static_cast<unsigned>(date.day()); }
};

}  // namespace

ServerResponse ErrorAnswer(int status, const std::string& code, const std::string& more) {
  return {
      .status = status,
      .headers = {{.name = "content-type", .value = "application/xml"}},
      .body = fmt::format("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{}</Code>"
                          "<Message>said by a fake</Message>{}<RequestId>R1</RequestId></Error>",
                          code, more)};
}

std::string XmlEscaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string HttpDate(WallTime time) {
  constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const Civil civil(time);
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
                     kDays[std::chrono::weekday(civil.day).c_encoding()], civil.day_of_month(),
                     kMonths[civil.month() - 1], civil.year(), civil.clock.hours().count(),
                     civil.clock.minutes().count(), civil.clock.seconds().count());
}

std::string Iso8601(WallTime time) {
  const Civil civil(time);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.000Z", civil.year(), civil.month(),
                     civil.day_of_month(), civil.clock.hours().count(),
                     civil.clock.minutes().count(), civil.clock.seconds().count());
}

std::optional<WallTime> ParseAmzDate(const std::string& text) {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  if (text.size() != 16 || std::sscanf(text.c_str(), "%4d%2u%2uT%2d%2d%2dZ", &year, &month, &day,
                                       &hour, &minute, &second) != 6) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(day)};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second);
}

}  // namespace runnel::testing
