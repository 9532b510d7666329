#include "cli/progress_bar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace runnel::cli {
namespace {

constexpr std::chrono::milliseconds kDrawEvery{100};
// Speed and the time that is left are not said before they mean something.
constexpr std::chrono::milliseconds kJudgeAfter{500};
constexpr int kWidth = 14;  // with all figures the line has less than 80 columns

// "12 s", "3 min", "1 h 5 min"
std::string FormatSeconds(std::uint64_t seconds) {
  const std::uint64_t minutes = (seconds + 30) / 60;
  if (seconds < 100) return fmt::format("{} s", seconds);
  if (minutes < 60) return fmt::format("{} min", minutes);
  return fmt::format("{} h {} min", minutes / 60, minutes % 60);
}

}  // namespace

ProgressBar::ProgressBar(Process& process, std::string what)
    : process_(process), what_(std::move(what)) {}

void ProgressBar::Show(std::uint64_t done_bytes, std::uint64_t total_bytes) {
  if (process_.err_is_terminal == Terminal::kNo || total_bytes == 0) return;
  const MonotonicTime now = process_.clock.MonotonicNow();
  if (!started_ || done_bytes < done_bytes_) {
    started_ = now;
    drawn_ = now;
  }
  done_bytes_ = done_bytes;
  if (now - drawn_ < kDrawEvery) return;
  drawn_ = now;
  Draw(" " + Text(done_bytes, total_bytes, now));
}

std::string ProgressBar::Text(std::uint64_t done_bytes, std::uint64_t total_bytes,
                              MonotonicTime now) const {
  const double share =
      std::min(1.0, static_cast<double>(done_bytes) / static_cast<double>(total_bytes));
  const int filled = static_cast<int>(share * kWidth);
  std::string text =
      fmt::format("[{:#<{}}{:-<{}}] {:3.0f} %  {} of {}", "", filled, "", kWidth - filled,
                  share * 100, FormatBytes(done_bytes), FormatBytes(total_bytes));
  const double seconds = std::chrono::duration<double>(now - *started_).count();
  if (now - *started_ < kJudgeAfter || done_bytes == 0) return text;
  const double speed = static_cast<double>(done_bytes) / seconds;
  text += fmt::format("  {}/s", FormatBytes(static_cast<std::uint64_t>(speed)));
  const auto left = static_cast<std::uint64_t>(std::llround(seconds * (1 - share) / share));
  if (left > 0) text += fmt::format("  {} left", FormatSeconds(left));
  return text;
}

void ProgressBar::Say(std::string_view doing) {
  if (process_.err_is_terminal == Terminal::kYes) Draw(fmt::format(": {}", doing));
}

// The rest of the line is cleared after the text, not before: the line is never seen empty.
void ProgressBar::Draw(std::string_view text) {
  process_.err(fmt::format("\r{}{}\033[K", what_, text));
  visible_ = true;
}

void ProgressBar::Clear() {
  if (visible_) process_.err("\r\033[K");
  visible_ = false;
}

std::string FormatBytes(std::uint64_t bytes) {
  constexpr std::array kUnits = {"B", "kB", "MB", "GB", "TB", "PB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

}  // namespace runnel::cli
