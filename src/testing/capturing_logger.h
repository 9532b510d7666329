// Keeps every log line, so that a test can ask what was said.

#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"

namespace runnel::testing {

struct CapturedLine {
  LogLevel level;
  std::string message;
  std::vector<std::pair<std::string, std::string>> fields;
};

// Thread-safe.
class CapturingLogger final : public Logger {
 public:
  bool Enabled(LogLevel) const override { return true; }

  void Write(LogLevel level, std::string_view message,
             std::initializer_list<LogField> fields) override {
    CapturedLine line{.level = level, .message = std::string(message), .fields = {}};
    for (const LogField& field : fields) line.fields.emplace_back(field.key, field.value);
    const std::lock_guard lock(mutex_);
    lines_.push_back(std::move(line));
  }

  std::vector<CapturedLine> lines() const {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

  // Whether a line of at least `level` has `part` in its message or in the value of a field.
  bool Contains(std::string_view part, LogLevel level = LogLevel::kTrace) const {
    const std::lock_guard lock(mutex_);
    for (const CapturedLine& line : lines_) {
      if (line.level < level) continue;
      if (line.message.find(part) != std::string::npos) return true;
      for (const auto& field : line.fields) {
        if (field.second.find(part) != std::string::npos) return true;
      }
    }
    return false;
  }

  void Clear() {
    const std::lock_guard lock(mutex_);
    lines_.clear();
  }

 private:
  mutable std::mutex mutex_;
  std::vector<CapturedLine> lines_;  // under mutex_
};

}  // namespace runnel::testing
