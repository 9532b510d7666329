#include "runtime/text_logger.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <thread>
#include <vector>

#include "testing/manual_clock.h"

namespace runnel::runtime {
namespace {

const WallTime kTime{std::chrono::milliseconds(1'787'151'194'123)};

std::string Text(std::string_view message, std::initializer_list<LogField> fields = {}) {
  return FormatLogLine(LogFormat::kText, kTime, LogLevel::kInfo, message, fields);
}
std::string Json(std::string_view message, std::initializer_list<LogField> fields = {}) {
  return FormatLogLine(LogFormat::kJson, kTime, LogLevel::kWarn, message, fields);
}
// The value alone, as text shows it.
std::string Shown(std::string_view value) {
  const std::string line = Text("m", {{"k", value}});
  const std::size_t start = line.find(" k=") + 3;
  return line.substr(start, line.size() - start - 1);
}

TEST(FormatLogLineTest, WritesTextAsSlogDoes) {
  EXPECT_EQ(Text("initialized db", {{"path", "/data/app.db"}, {"size", 42}, {"txid", Txid{255}}}),
            "time=2026-08-19T14:53:14.123Z level=INFO msg=\"initialized db\" path=/data/app.db "
            "size=42 txid=00000000000000ff\n");
}

TEST(FormatLogLineTest, WritesJsonWithNumbersAndTruthValuesBare) {
  EXPECT_EQ(Json("a \"b\"", {{"n", -7}, {"ok", true}, {"secret", Redacted("x")}}),
            "{\"time\":\"2026-08-19T14:53:14.123Z\",\"level\":\"WARN\",\"msg\":\"a \\\"b\\\"\","
            "\"n\":-7,\"ok\":true,\"secret\":\"***\"}\n");
}

TEST(FormatLogLineTest, QuotesOnlyWhereSlogDoes) {
  EXPECT_EQ(Shown("plain/path:1"), "plain/path:1");
  EXPECT_EQ(Shown("back\\slash"), "back\\slash");
  EXPECT_EQ(Shown("grün"), "grün");
  EXPECT_EQ(Shown(""), "\"\"");
  EXPECT_EQ(Shown("two words"), "\"two words\"");
  EXPECT_EQ(Shown("a=b"), "\"a=b\"");
  EXPECT_EQ(Shown("say \"x\\y\""), "\"say \\\"x\\\\y\\\"\"");
}

TEST(FormatLogLineTest, NoValueForgesALineOrMovesTheCursor) {
  EXPECT_EQ(Shown("a\nlevel=ERROR"), "\"a\\nlevel=ERROR\"");
  EXPECT_EQ(Shown("\x1b[2J"), "\"\\x1b[2J\"");
  EXPECT_EQ(Shown("\xc2\x9b"), "\"\\u009b\"");              // a control of Latin-1
  EXPECT_EQ(Shown("\xe2\x80\xae"), "\"\\u202e\"");          // right to left
  EXPECT_EQ(Shown("\xff\xc3"), "\"\\xff\\xc3\"");           // no UTF-8
  EXPECT_EQ(Shown("\xed\xa0\x80"), "\"\\xed\\xa0\\x80\"");  // half of a surrogate pair
  EXPECT_EQ(Shown("\xc0\xaf"), "\"\\xc0\\xaf\"");           // longer than need be
  EXPECT_EQ(Json("\n\x1b\xff\xf3\xa0\x81\x81"),
            "{\"time\":\"2026-08-19T14:53:14.123Z\",\"level\":\"WARN\","
            "\"msg\":\"\\n\\u001b\\ufffd\\udb40\\udc41\"}\n");
}

class TextLoggerTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(pipe(ends_), 0); }
  void TearDown() override {
    for (const int fd : ends_) close(fd);
  }
  std::string ReadAll() {
    std::string text(1 << 16, '\0');
    const ssize_t size = read(ends_[0], text.data(), text.size());
    text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return text;
  }

  testing::ManualClock clock_;
  int ends_[2];
};

TEST_F(TextLoggerTest, WritesFromItsLevelOn) {
  TextLogger logger(clock_, ends_[1], LogFormat::kText, LogLevel::kWarn);
  logger.Info("no");
  logger.Write(LogLevel::kDebug, "no", {});
  logger.Warn("yes");
  EXPECT_EQ(ReadAll(), "time=2026-01-01T00:00:00.000Z level=WARN msg=yes\n");
}

TEST_F(TextLoggerTest, KeepsLinesOfThreadsApart) {
  TextLogger logger(clock_, ends_[1], LogFormat::kText, LogLevel::kInfo);
  const std::string expected =
      FormatLogLine(LogFormat::kText, clock_.Now(), LogLevel::kInfo, "line", {{"n", "0123456789"}});
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 100; ++i) logger.Info("line", {{"n", "0123456789"}});
      });
    }
  }
  std::string all;
  for (int i = 0; i < 400; ++i) all += expected;
  EXPECT_EQ(ReadAll(), all);
}

TEST_F(TextLoggerTest, ADeviceThatTakesNothingStopsNobody) {
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(full, 0);
  TextLogger logger(clock_, full, LogFormat::kJson, LogLevel::kInfo);
  logger.Error("lost");
  close(full);
  logger.Error("lost too");
}

}  // namespace
}  // namespace runnel::runtime
