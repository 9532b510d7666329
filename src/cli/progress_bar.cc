#include "cli/progress_bar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace runnel::cli {
namespace {

constexpr std::chrono::milliseconds kDrawEvery{100};
constexpr int kWidth = 30;

}  // namespace

ProgressBar::ProgressBar(Process& process, std::string what)
    : process_(process), what_(std::move(what)), started_(process.clock.MonotonicNow()) {}

void ProgressBar::Show(std::uint64_t done_bytes, std::uint64_t total_bytes) {
  if (process_.err_is_terminal == Terminal::kNo || total_bytes == 0) return;
  const MonotonicTime now = process_.clock.MonotonicNow();
  if (visible_ && now - drawn_ < kDrawEvery && done_bytes < total_bytes) return;
  drawn_ = now;
  visible_ = true;
  const double share =
      std::min(1.0, static_cast<double>(done_bytes) / static_cast<double>(total_bytes));
  const double seconds = std::chrono::duration<double>(now - started_).count();
  const double speed = seconds > 0 ? static_cast<double>(done_bytes) / seconds : 0;
  const int filled = static_cast<int>(share * kWidth);
  process_.err(fmt::format("\r\033[K{} [{:#<{}}{:-<{}}] {:3.0f} %  {} of {}  {}/s", what_, "",
                           filled, "", kWidth - filled, share * 100, FormatBytes(done_bytes),
                           FormatBytes(total_bytes),
                           FormatBytes(static_cast<std::uint64_t>(speed))));
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
