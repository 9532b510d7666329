// Log lines for people and for collectors, as Go's log/slog writes them:
//
//   time=2026-08-19T14:53:14.123Z level=INFO msg="initialized db" path=/data/app.db
//   {"time":"2026-08-19T14:53:14.123Z","level":"INFO","msg":"initialized db","path":"/data/app.db"}

#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "base/log.h"

namespace runnel::runtime {

enum class LogFormat : std::uint8_t { kText, kJson };

// One line with its newline. In text a value is quoted unless it is plain; whatever could forge a
// line, move a cursor or hide text (controls, invalid UTF-8, spaces and marks of direction outside
// ASCII) is escaped, in both forms.
std::string FormatLogLine(LogFormat format, WallTime time, LogLevel level, std::string_view message,
                          std::initializer_list<LogField> fields);

// Writes to a descriptor, each line with one write(2) where the kernel takes it in one. A line that
// cannot be written is dropped: a full disk under the log is no reason to stop replicating. A
// reader who lets a pipe fill up makes writers wait, as standard output does.
class TextLogger final : public Logger {
 public:
  // `clock` outlives the logger, and `fd` stays open; it is not closed.
  TextLogger(Clock& clock, int fd, LogFormat format, LogLevel lowest)
      : clock_(clock), fd_(fd), format_(format), lowest_(lowest) {}

  bool Enabled(LogLevel level) const override { return level >= lowest_; }
  void Write(LogLevel level, std::string_view message,
             std::initializer_list<LogField> fields) override;

 private:
  Clock& clock_;
  const int fd_;
  const LogFormat format_;
  const LogLevel lowest_;
  std::mutex write_mutex_;  // keeps the pieces of a line together that took several writes
};

}  // namespace runnel::runtime
