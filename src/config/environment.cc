#include "config/environment.h"

#include <unistd.h>

#include <algorithm>

namespace runnel::config {
namespace {

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsName(std::string_view text) {
  return !text.empty() && !IsDigit(text[0]) && std::ranges::all_of(text, IsNameCharacter);
}
bool IsSpecial(char c) {
  return IsDigit(c) || std::string_view("*#$@!?-").find(c) != std::string_view::npos;
}

// What follows a '$': the name, and how much of the text it takes.
struct Reference {
  std::string_view name;
  std::size_t size = 0;
};

// As Go's os.Expand reads it.
Reference ParseReference(std::string_view after_dollar) {
  if (after_dollar.empty()) return {};
  if (after_dollar[0] == '{') {
    const std::size_t end = after_dollar.find('}', 1);
    if (end == after_dollar.npos) return {{}, 1};
    return {after_dollar.substr(1, end - 1), end + 1};
  }
  if (IsSpecial(after_dollar[0])) return {after_dollar.substr(0, 1), 1};
  std::size_t size = 0;
  while (size < after_dollar.size() && IsNameCharacter(after_dollar[size])) ++size;
  return {after_dollar.substr(0, size), size};
}

// Follows lines, and whether a comment has begun: '#' at the start of a line or after a blank, and
// not between quotes. Near enough to YAML for leaving out warnings.
class TextPosition {
 public:
  void Advance(char c) {
    if (c == '\n') {
      place_ = {place_.line + 1, 1};
      in_comment_ = false;
      quote_ = 0;
    } else {
      ++place_.column;
      if (quote_ != 0) {
        if (c == quote_) quote_ = 0;
      } else if (c == '#' && (previous_ == '\n' || previous_ == ' ' || previous_ == '\t')) {
        in_comment_ = true;
      } else if ((c == '"' || c == '\'') && !IsNameCharacter(previous_) && !in_comment_) {
        quote_ = c;
      }
    }
    previous_ = c;
  }

  Place place() const { return place_; }
  bool in_comment() const { return in_comment_; }

 private:
  Place place_{1, 1};
  bool in_comment_ = false;
  char quote_ = 0;
  char previous_ = '\n';
};

}  // namespace

std::string ExpandEnvironment(std::string_view text, const Environment& environment,
                              Diagnostics& diagnostics) {
  std::string out;
  out.reserve(text.size());
  TextPosition position;
  const auto warn = [&](std::string message) {
    if (!position.in_comment()) diagnostics.AddWarning(position.place(), std::move(message));
  };
  for (std::size_t i = 0; i < text.size();) {
    const Reference reference = text[i] == '$' ? ParseReference(text.substr(i + 1)) : Reference{};
    if (reference.size == 0) {  // no '$', or one that stands for itself
      out += text[i];
      position.Advance(text[i++]);
      continue;
    }
    const auto value = environment.find(reference.name);
    if (value != environment.end()) {
      out += value->second;
    } else if (reference.name == "PID") {
      out += std::to_string(getpid());
    } else if (IsName(reference.name)) {
      // Not named: it may be the end of a password with a '$' in it.
      warn(
          "the environment variable named here is not set: it is replaced by nothing (start with "
          "-no-expand-env to keep '$' as it is)");
    } else {
      warn(
          "this '$' and what follows is taken for a variable and replaced by nothing: there is no "
          "escape, start with -no-expand-env to keep '$' as it is");
    }
    for (const char c : text.substr(i, reference.size + 1)) position.Advance(c);
    i += reference.size + 1;
  }
  return out;
}

}  // namespace runnel::config
