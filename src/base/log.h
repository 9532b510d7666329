// Structured log lines: a message that stays the same, and fields that vary.
//
// A Logger is handed to whoever needs one; there is no global one. Secrets, page bytes and SQL
// never enter a line: values that may hold one are passed as Redacted (base/redacted.h).

#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/redacted.h"
#include "base/result.h"

namespace runnel {

enum class LogLevel : std::uint8_t { kTrace, kDebug, kInfo, kWarn, kError };

std::string_view LogLevelName(LogLevel level);  // "INFO"

// One `key=value`. The key is a literal.
struct LogField {
  LogField(const char* k, std::string v) : key(k), value(std::move(v)) {}
  LogField(const char* k, std::string_view v) : key(k), value(v) {}
  LogField(const char* k, const char* v) : key(k), value(v) {}
  LogField(const char* k, std::integral auto v)
    requires(!std::same_as<decltype(v), bool>)
      : key(k), value(std::to_string(v)), kind(Kind::kBare) {}
  LogField(const char* k, std::same_as<bool> auto v)
      : key(k), value(v ? "true" : "false"), kind(Kind::kBare) {}
  LogField(const char* k, Txid v) : key(k), value(FormatTxid(v)) {}
  LogField(const char* k, const Error& v) : key(k), value(v.message()) {}
  LogField(const char* k, const Redacted&) : key(k), value("***") {}

  enum class Kind : std::uint8_t {
    kText,
    kBare,  // a number or a truth value, which JSON writes without quotes
  };

  const char* key;
  std::string value;
  Kind kind = Kind::kText;
};

// Thread-safe.
class Logger {
 public:
  virtual ~Logger() = default;

  virtual bool Enabled(LogLevel level) const = 0;
  virtual void Write(LogLevel level, std::string_view message,
                     std::initializer_list<LogField> fields) = 0;

  void Debug(std::string_view message, std::initializer_list<LogField> fields = {});
  void Info(std::string_view message, std::initializer_list<LogField> fields = {});
  void Warn(std::string_view message, std::initializer_list<LogField> fields = {});
  void Error(std::string_view message, std::initializer_list<LogField> fields = {});
};

// Drops everything.
class NullLogger final : public Logger {
 public:
  bool Enabled(LogLevel) const override { return false; }
  void Write(LogLevel, std::string_view, std::initializer_list<LogField>) override {}
};

}  // namespace runnel
