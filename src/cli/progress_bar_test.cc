#include "cli/progress_bar.h"

#include <gmock/gmock.h>

#include <chrono>
#include <string>

#include "cli/testing.h"

namespace runnel::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::uint64_t kMega = 1'000'000;
constexpr char kStart[] = "\r";
constexpr char kEraseRest[] = "\033[K";

class ProgressBarTest : public testing::CommandTestBase {
 protected:
  ProgressBarTest() { process_.err_is_terminal = Terminal::kYes; }

  // What Show() writes `later`.
  std::string Show(std::uint64_t done_mega, std::uint64_t total_mega, milliseconds later) {
    clock_.Advance(later);
    err_.clear();
    bar_.Show(done_mega * kMega, total_mega * kMega);
    return err_;
  }

  ProgressBar bar_{process_, "restoring"};
};

TEST_F(ProgressBarTest, IsNothingWithoutATerminal) {
  process_.err_is_terminal = Terminal::kNo;
  EXPECT_THAT(Show(0, 100, seconds(0)), IsEmpty());
  EXPECT_THAT(Show(50, 100, seconds(1)), IsEmpty());
  bar_.Say("checking");
  bar_.Clear();
  EXPECT_THAT(err_, IsEmpty());
}

TEST_F(ProgressBarTest, WorkOfAMomentShowsNone) {
  EXPECT_THAT(Show(0, 100, seconds(0)), IsEmpty());
  EXPECT_THAT(Show(100, 100, milliseconds(90)), IsEmpty());
  bar_.Clear();
  EXPECT_THAT(err_, IsEmpty());
}

TEST_F(ProgressBarTest, IsDrawnInPlaceTenTimesASecond) {
  Show(0, 100, seconds(0));
  EXPECT_EQ(Show(50, 100, milliseconds(100)),
            "\rrestoring [#######-------]  50 %  50.0 MB of 100.0 MB\033[K");
  EXPECT_THAT(Show(60, 100, milliseconds(99)), IsEmpty());
  EXPECT_THAT(Show(60, 100, milliseconds(1)), HasSubstr("60 %"));
}

TEST_F(ProgressBarTest, SpeedAndTimeLeftAreSaidOnceTheyMeanSomething) {
  Show(0, 1000, seconds(0));
  EXPECT_THAT(Show(40, 1000, milliseconds(400)), Not(HasSubstr("/s")));
  EXPECT_THAT(Show(100, 1000, milliseconds(600)), HasSubstr("100.0 MB/s  9 s left"));
  EXPECT_THAT(Show(999, 1000, seconds(9)), AllOf(HasSubstr("99.9 MB/s"), Not(HasSubstr("left"))));
}

TEST_F(ProgressBarTest, ALongTimeIsSaidRoughly) {
  Show(0, 1000, seconds(0));
  EXPECT_THAT(Show(100, 1000, seconds(40)), HasSubstr("  6 min left"));
  EXPECT_THAT(Show(100, 1000, seconds(960)), HasSubstr("  2 h 30 min left"));
}

TEST_F(ProgressBarTest, FitsATerminal) {
  Show(0, 999'900, seconds(0));
  const std::string line = Show(333'300, 999'900, seconds(1000));
  EXPECT_THAT(line, AllOf(StartsWith(kStart), EndsWith(kEraseRest)));
  EXPECT_LT(line.size() - std::string(kStart).size() - std::string(kEraseRest).size(), 80U) << line;
}

TEST_F(ProgressBarTest, AnotherAttemptHasASpeedOfItsOwn) {
  Show(0, 1000, seconds(0));
  Show(900, 1000, seconds(100));
  Show(0, 1000, seconds(1));
  EXPECT_THAT(Show(500, 1000, seconds(1)), HasSubstr("500.0 MB/s  1 s left"));
}

TEST_F(ProgressBarTest, WhatIsSaidTakesTheBarsPlaceAndGoes) {
  bar_.Say("checking the database");
  EXPECT_EQ(err_, "\rrestoring: checking the database\033[K");
  err_.clear();
  bar_.Clear();
  EXPECT_EQ(err_, "\r\033[K");
  err_.clear();
  bar_.Clear();
  EXPECT_THAT(err_, IsEmpty());
}

TEST_F(ProgressBarTest, ALogLineIsNotBehindTheBar) {
  // Writes where the bar is.
  class Log final : public Logger {
   public:
    explicit Log(std::string& out) : out_(out) {}
    bool Enabled(LogLevel level) const override { return level > LogLevel::kInfo; }
    void Write(LogLevel, std::string_view message, std::initializer_list<LogField>) override {
      out_ += std::string(message) + "\n";
    }

   private:
    std::string& out_;
  };
  Log log(err_);
  LoggerBesideBar beside(log, bar_);
  bar_.Say("checking");
  err_.clear();
  beside.Info("nobody hears this");
  EXPECT_THAT(err_, IsEmpty());
  beside.Warn("it failed");
  EXPECT_EQ(err_, "\r\033[Kit failed\n");
}

}  // namespace
}  // namespace runnel::cli
