#include "cli/time_text.h"

#include <gtest/gtest.h>

namespace runnel::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr WallTime kTime{seconds(1'787'148'000)};  // 2026-08-19T14:00:00Z

TEST(ParseTimeTest, TakesRfc3339) {
  const std::pair<const char*, WallTime> cases[] = {
      {"2026-08-19T14:00:00Z", kTime},
      {"2026-08-19t14:00:00z", kTime},
      {"2026-08-19 14:00:00Z", kTime},
      {"2026-08-19T16:00:00+02:00", kTime},
      {"2026-08-19T08:30:00-05:30", kTime},
      {"2026-08-20T03:00:00+13:00", kTime},
      {"2026-08-19T14:00:00.5Z", kTime + milliseconds(500)},
      {"2026-08-19T14:00:00.123Z", kTime + milliseconds(123)},
      {"2026-08-19T14:00:00.123999999Z", kTime + milliseconds(123)},
      {"2024-02-29T00:00:00Z", WallTime(seconds(1'709'164'800))},
      {"1970-01-01T00:00:00Z", WallTime()},
  };
  for (const auto& [text, time] : cases) EXPECT_EQ(ParseTime(text), time) << text;
}

TEST(ParseTimeTest, TakesNothingElse) {
  for (const char* bad : {"",
                          "yesterday",
                          "2026-08-19",
                          "2026-08-19T14:00Z",
                          "2026-08-19T14:00:00",
                          "2026-8-19T14:00:00Z",
                          "2026-13-01T00:00:00Z",
                          "2026-02-29T00:00:00Z",
                          "2026-08-19T24:00:00Z",
                          "2026-08-19T14:60:00Z",
                          "2026-08-19T14:00:61Z",
                          "2026-08-19T14:00:00.Z",
                          "2026-08-19T14:00:00+2",
                          "2026-08-19T14:00:00+24:00",
                          "2026-08-19T14:00:00+0200",
                          "2026-08-19T14:00:00Z ",
                          " 2026-08-19T14:00:00Z",
                          "2026-08-19T14:00:00ZZ",
                          "1787148000",
                          "-026-08-19T14:00:00Z"}) {
    EXPECT_FALSE(ParseTime(bad)) << bad;
  }
}

}  // namespace
}  // namespace runnel::cli
