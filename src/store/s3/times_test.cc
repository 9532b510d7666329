#include "store/s3/times.h"

#include <gtest/gtest.h>

namespace runnel::store::s3 {
namespace {

using std::chrono::milliseconds;

TEST(TimesTest, WritesAsGoDoes) {
  EXPECT_EQ(FormatRfc3339(WallTime(milliseconds(1'755'615'194'120))), "2025-08-19T14:53:14.12Z");
  EXPECT_EQ(FormatRfc3339(WallTime(milliseconds(1'755'615'194'000))), "2025-08-19T14:53:14Z");
  EXPECT_EQ(FormatRfc3339(WallTime(milliseconds(1))), "1970-01-01T00:00:00.001Z");
  EXPECT_EQ(FormatRfc3339(WallTime(milliseconds(-1))), "1969-12-31T23:59:59.999Z");
}

TEST(TimesTest, ReadsWhatItWrites) {
  for (const std::int64_t ms : {0LL, 1LL, 999LL, 951'782'400'000LL, 1'755'615'194'125LL}) {
    EXPECT_EQ(ParseRfc3339(FormatRfc3339(WallTime(milliseconds(ms)))), WallTime(milliseconds(ms)));
  }
}

TEST(TimesTest, ReadsOffsetsAndFinerFractions) {
  const WallTime time(milliseconds(1'755'615'194'123));
  EXPECT_EQ(ParseRfc3339("2025-08-19T14:53:14.123456789Z"), time);
  EXPECT_EQ(ParseRfc3339("2025-08-19T16:53:14.123+02:00"), time);
  EXPECT_EQ(ParseRfc3339("2025-08-19T05:23:14.123-09:30"), time);
}

TEST(TimesTest, RefusesWhatIsNoTime) {
  for (const char* bad :
       {"", "2025", "2025-08-19", "2025-08-19T14:53:14", "2025-02-30T14:53:14Z",
        "2025-08-19T24:53:14Z", "2025-08-19T14:53:14.Z", "2025-08-19T14:53:14Zx",
        "2025-08-19t14:53:14Z", "2025-08-19T14:53:14+2:00", "+025-08-19T14:53:14Z"}) {
    EXPECT_FALSE(ParseRfc3339(bad)) << bad;
  }
}

TEST(TimesTest, ReadsDatesOfHeaders) {
  EXPECT_EQ(ParseHttpDate("Fri, 24 May 2013 00:00:01 GMT"),
            WallTime(milliseconds(1'369'353'601'000)));
  for (const char* bad : {"", "Fri, 24 Mai 2013 00:00:01 GMT", "24 May 2013 00:00:01 GMT",
                          "Fri, 24 May 2013 00:00:01", "Fri, 32 May 2013 00:00:01 GMT",
                          "Fri, 24 May 2013 00:00:01 GMT+1"}) {
    EXPECT_FALSE(ParseHttpDate(bad)) << bad;
  }
}

}  // namespace
}  // namespace runnel::store::s3
