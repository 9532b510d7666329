#include "runtime/rate_limited_log.h"

#include <gtest/gtest.h>

#include "testing/manual_clock.h"

namespace runnel::runtime {
namespace {

using std::chrono::seconds;

// Keeps "message field=value ..." of each line.
class LinesLogger final : public Logger {
 public:
  bool Enabled(LogLevel level) const override { return level >= LogLevel::kInfo; }
  void Write(LogLevel, std::string_view message, std::initializer_list<LogField> fields) override {
    std::string line(message);
    for (const LogField& field : fields) line += std::string(" ") + field.key + "=" + field.value;
    lines.push_back(line);
  }
  std::vector<std::string> lines;
};

class RateLimitedLogTest : public ::testing::Test {
 protected:
  void Log(const std::string& error) {
    log_.Log(LogLevel::kError, "sync failed", "db", "/a", Error(Errc::kIo, error));
  }

  testing::ManualClock clock_;
  LinesLogger logger_;
  RateLimitedLog log_{logger_, clock_};
};

TEST_F(RateLimitedLogTest, LogsTheSameErrorEvery30SecondsWithACount) {
  for (int second = 0; second < 61; ++second) {
    Log("disk");
    clock_.Advance(seconds(1));
  }
  EXPECT_EQ(logger_.lines, (std::vector<std::string>{
                               "sync failed db=/a error=disk",
                               "sync failed db=/a error=disk repeated=29",
                               "sync failed db=/a error=disk repeated=29",
                           }));
}

TEST_F(RateLimitedLogTest, ErrorsThatTakeTurnsAreLimitedEach) {
  for (int i = 0; i < 10; ++i) {
    Log("one");
    Log("two");
  }
  EXPECT_EQ(logger_.lines.size(), 2u);
}

TEST_F(RateLimitedLogTest, LogsAtOnceAfterItWorkedAgain) {
  Log("disk");
  Log("disk");
  log_.Clear();
  Log("disk");
  EXPECT_EQ(logger_.lines, (std::vector<std::string>(2, "sync failed db=/a error=disk")));
}

TEST_F(RateLimitedLogTest, ForgetsTheErrorNotSeenForLongest) {
  for (std::size_t i = 0; i <= RateLimitedLog::kErrorsMax; ++i) {
    Log(std::to_string(i));
    clock_.Advance(seconds(1));
    Log("always");
  }
  const std::size_t before = logger_.lines.size();
  Log("always");
  EXPECT_EQ(logger_.lines.size(), before);
  Log("0");  // forgotten, so it is new
  EXPECT_EQ(logger_.lines.size(), before + 1);
}

}  // namespace
}  // namespace runnel::runtime
