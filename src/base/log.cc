#include "base/log.h"

namespace runnel {

std::string_view LogLevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace: return "TRACE";
    case LogLevel::kDebug: return "DEBUG";
    case LogLevel::kInfo: return "INFO";
    case LogLevel::kWarn: return "WARN";
    case LogLevel::kError: return "ERROR";
  }
  std::unreachable();
}

void Logger::Debug(std::string_view message, std::initializer_list<LogField> fields) {
  if (Enabled(LogLevel::kDebug)) Write(LogLevel::kDebug, message, fields);
}
void Logger::Info(std::string_view message, std::initializer_list<LogField> fields) {
  if (Enabled(LogLevel::kInfo)) Write(LogLevel::kInfo, message, fields);
}
void Logger::Warn(std::string_view message, std::initializer_list<LogField> fields) {
  if (Enabled(LogLevel::kWarn)) Write(LogLevel::kWarn, message, fields);
}
void Logger::Error(std::string_view message, std::initializer_list<LogField> fields) {
  if (Enabled(LogLevel::kError)) Write(LogLevel::kError, message, fields);
}

}  // namespace runnel
