// One line on a terminal that shows how far long work is. Nothing where there is no terminal.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/log.h"
#include "cli/command.h"

namespace runnel::cli {

// One thread.
class ProgressBar {
 public:
  ProgressBar(Process& process, std::string what);

  // As often as one likes: drawn at most ten times a second, and not at all for work that is done
  // in a moment. Bytes that become less again are those of another attempt.
  void Show(std::uint64_t done_bytes, std::uint64_t total_bytes);

  // Work of which nobody knows how long it takes.
  void Say(std::string_view doing);

  // Before anything else is printed.
  void Clear();

 private:
  std::string Text(std::uint64_t done_bytes, std::uint64_t total_bytes, MonotonicTime now) const;
  void Draw(std::string_view text);

  Process& process_;
  const std::string what_;
  std::optional<MonotonicTime> started_;  // this attempt
  std::uint64_t done_bytes_ = 0;
  MonotonicTime drawn_{};
  bool visible_ = false;
};

// Takes the bar away before a line is logged. One thread.
class LoggerBesideBar final : public Logger {
 public:
  // Both outlive this.
  LoggerBesideBar(Logger& log, ProgressBar& bar) : log_(log), bar_(bar) {}

  bool Enabled(LogLevel level) const override { return log_.Enabled(level); }
  void Write(LogLevel level, std::string_view message,
             std::initializer_list<LogField> fields) override {
    bar_.Clear();
    log_.Write(level, message, fields);
  }

 private:
  Logger& log_;
  ProgressBar& bar_;
};

// "1.5 GB"
std::string FormatBytes(std::uint64_t bytes);

}  // namespace runnel::cli
