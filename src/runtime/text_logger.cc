#include "runtime/text_logger.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace runnel::runtime {
namespace {

// A character of a UTF-8 text. Not valid: one byte that begins no shortest form of a code point.
struct Character {
  char32_t code = 0;
  std::size_t size = 1;
  bool valid = false;
};

Character FirstCharacter(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < size) return {};
  char32_t code = lead & (0x7FU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) return {};
    code = (code << 6U) | (byte(i) & 0x3FU);
  }
  const bool too_long = (size == 3 && code < 0x800) || (size == 4 && code < 0x10000);
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (too_long || surrogate || code > 0x10FFFF) return {};
  return {code, size, true};
}

// Shown as it is: neither control, nor space outside ASCII, nor an invisible mark.
bool IsPrintable(char32_t c) {
  if (c < 0xA0) return c >= 0x20 && c < 0x7F;
  struct Range {
    char32_t first, last;
  };
  static constexpr Range kHidden[] = {
      {0xA0, 0xA0},     {0xAD, 0xAD},     {0x061C, 0x061C}, {0x1680, 0x1680},   {0x180E, 0x180E},
      {0x2000, 0x200F}, {0x2028, 0x202F}, {0x205F, 0x206F}, {0x3000, 0x3000},   {0xE000, 0xF8FF},
      {0xFEFF, 0xFEFF}, {0xFFF0, 0xFFFB}, {0xFFFE, 0xFFFF}, {0xE0000, 0x10FFFF}};
  return std::ranges::none_of(kHidden, [c](const Range& r) { return c >= r.first && c <= r.last; });
}

bool NeedsQuotes(std::string_view text) {
  if (text.empty()) return true;
  while (!text.empty()) {
    const Character c = FirstCharacter(text);
    if (!c.valid || !IsPrintable(c.code) || c.code == ' ' || c.code == '=' || c.code == '"') {
      return true;
    }
    text.remove_prefix(c.size);
  }
  return false;
}

// As Go's strconv.Quote.
void AppendGoQuoted(std::string& out, std::string_view text) {
  static constexpr std::string_view kNamed = "\a\b\t\n\v\f\r";
  static constexpr std::string_view kNames = "abtnvfr";
  out += '"';
  while (!text.empty()) {
    const Character c = FirstCharacter(text);
    if (!c.valid) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(text[0]));
    } else if (c.code == '"' || c.code == '\\') {
      out.append("\\").append(text.substr(0, 1));
    } else if (IsPrintable(c.code)) {
      out += text.substr(0, c.size);
    } else if (const std::size_t named = kNamed.find(text[0]);
               c.size == 1 && named != kNamed.npos) {
      out.append("\\").append(kNames.substr(named, 1));
    } else if (c.code < 0x80) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned>(c.code));
    } else if (c.code < 0x10000) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c.code));
    } else {
      fmt::format_to(std::back_inserter(out), "\\U{:08x}", static_cast<unsigned>(c.code));
    }
    text.remove_prefix(c.size);
  }
  out += '"';
}

void AppendText(std::string& out, std::string_view text) {
  if (NeedsQuotes(text)) {
    AppendGoQuoted(out, text);
  } else {
    out += text;
  }
}

void AppendJsonEscape(std::string& out, char32_t code) {
  if (code >= 0x10000) {  // a surrogate pair
    AppendJsonEscape(out, 0xD800 + ((code - 0x10000) >> 10U));
    AppendJsonEscape(out, 0xDC00 + ((code - 0x10000) & 0x3FFU));
    return;
  }
  fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(code));
}

void AppendJson(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const Character c = FirstCharacter(text);
    if (!c.valid) {
      out += "\\ufffd";
    } else if (c.code == '"' || c.code == '\\') {
      out.append("\\").append(text.substr(0, 1));
    } else if (c.code == '\n') {
      out += "\\n";
    } else if (c.code == '\t') {
      out += "\\t";
    } else if (IsPrintable(c.code)) {
      out += text.substr(0, c.size);
    } else {
      AppendJsonEscape(out, c.code);
    }
    text.remove_prefix(c.size);
  }
  out += '"';
}

std::string FormatTime(WallTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const std::chrono::year_month_day day(std::chrono::floor<std::chrono::days>(time));
  const std::chrono::hh_mm_ss clock(time - std::chrono::floor<std::chrono::days>(time));
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(day.year()),
                     static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     (time - seconds).count());
}

}  // namespace

std::string FormatLogLine(LogFormat format, WallTime time, LogLevel level, std::string_view message,
                          std::initializer_list<LogField> fields) {
  std::string line;
  line.reserve(160);
  if (format == LogFormat::kText) {
    line.append("time=").append(FormatTime(time)).append(" level=").append(LogLevelName(level));
    line += " msg=";
    AppendText(line, message);
    for (const LogField& field : fields) {
      line += ' ';
      AppendText(line, field.key);
      line += '=';
      AppendText(line, field.value);
    }
  } else {
    line.append(R"({"time":")").append(FormatTime(time)).append(R"(","level":")");
    line.append(LogLevelName(level)).append(R"(","msg":)");
    AppendJson(line, message);
    for (const LogField& field : fields) {
      line += ',';
      AppendJson(line, field.key);
      line += ':';
      if (field.kind == LogField::Kind::kBare) {
        line += field.value;
      } else {
        AppendJson(line, field.value);
      }
    }
    line += '}';
  }
  line += '\n';
  return line;
}

void TextLogger::Write(LogLevel level, std::string_view message,
                       std::initializer_list<LogField> fields) {
  if (!Enabled(level)) return;
  const std::string line = FormatLogLine(format_, clock_.Now(), level, message, fields);
  std::string_view rest = line;
  const std::scoped_lock lock(write_mutex_);
  while (!rest.empty()) {
    const ssize_t written = write(fd_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace runnel::runtime
