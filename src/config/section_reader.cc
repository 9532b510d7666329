#include "config/section_reader.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/edit_distance.h"
#include "base/redacted.h"
#include "config/values.h"

namespace runnel::config {
namespace {

// As it may be shown in a message: short, on one line, without passwords.
std::string Shown(std::string_view text) {
  constexpr std::size_t kLongest = 60;
  std::string shown = RedactUrl(text);
  if (shown.size() > kLongest) shown = shown.substr(0, kLongest) + "..";
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return '"' + shown + '"';
}

// The key that was probably meant; empty if none is near.
std::string_view Nearest(std::string_view key, std::span<const std::string_view> known) {
  constexpr std::size_t kLongestKey = 64;
  if (key.size() > kLongestKey) return {};
  std::string_view nearest;
  std::size_t best = std::max<std::size_t>(2, key.size() / 3) + 1;
  for (const std::string_view candidate : known) {
    if (const std::size_t distance = EditDistance(key, candidate); distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace

const std::string* ValueReader::Scalar(const YamlNode& value) {
  if (value.kind == YamlNode::Kind::kScalar) return &value.text;
  if (value.kind != YamlNode::Kind::kNull) Bad(value, "a single value");
  return nullptr;
}

void ValueReader::Bad(const YamlNode& value, const std::string& what) {
  const bool has_text = value.kind == YamlNode::Kind::kScalar;
  diagnostics_.AddError(value.place,
                        fmt::format("{} must be {}{}{}", key_, what, has_text ? ", not " : "",
                                    has_text ? Shown(value.text) : ""));
}

void ValueReader::UnknownKey(const YamlNode& item, std::string_view where,
                             std::span<const std::string_view> known) {
  std::string message = fmt::format("unknown key {} in {}", Shown(item.key), where);
  const auto home = std::ranges::find_if(sections_, [&](const SectionKeys& section) {
    return std::ranges::find(section.keys, item.key) != section.keys.end();
  });
  if (home != sections_.end()) {
    message += fmt::format(": it belongs into {}", home->where);
  } else if (const std::string_view nearest = Nearest(item.key, known); !nearest.empty()) {
    message += fmt::format(": did you mean \"{}\"?", nearest);
  } else {
    message += ": remove it";
  }
  if (options_.strictness == Strictness::kRunnel) {
    diagnostics_.AddError(item.key_place, std::move(message));
  } else {
    diagnostics_.AddWarning(item.key_place, message + " (ignored)");
  }
}

void ValueReader::ReadText(const YamlNode& value, std::optional<Text>& out) {
  const std::string* text = Scalar(value);
  if (text == nullptr) return;
  if (text->find('\0') != text->npos) {
    Bad(value, "a text without zero bytes");
    return;
  }
  if (!text->empty()) out = Text{*text, value.place};
}

std::string ValueReader::AbsolutePath(std::string_view path) const {
  std::filesystem::path whole(path);
  const auto home = options_.environment.find("HOME");
  if ((path == "~" || path.starts_with("~/")) && home != options_.environment.end()) {
    whole =
        std::filesystem::path(home->second) / path.substr(std::min<std::size_t>(2, path.size()));
  }
  whole = (options_.working_directory / whole).lexically_normal();
  if (!whole.has_filename() && whole.has_relative_path()) whole = whole.parent_path();
  return whole.string();
}

void ValueReader::ReadPath(const YamlNode& value, std::optional<Text>& out) {
  std::optional<Text> text;
  ReadText(value, text);
  if (text) out = Text{AbsolutePath(text->value), text->place};
}

void ValueReader::ReadBool(const YamlNode& value, std::optional<bool>& out) {
  const std::string* text = Scalar(value);
  if (text == nullptr) return;
  if (const std::optional<bool> parsed = ParseBool(*text)) {
    out = parsed;
  } else {
    Bad(value, "true or false");
  }
}

void ValueReader::ReadDuration(const YamlNode& value, std::chrono::milliseconds min,
                               std::optional<std::chrono::milliseconds>& out) {
  const std::string* text = Scalar(value);
  if (text == nullptr) return;
  const std::optional<std::chrono::nanoseconds> parsed = ParseDuration(*text);
  if (!parsed && ParseInteger(*text)) {
    Bad(value, fmt::format("a duration with its unit, such as {}s or {}m", *text, *text));
  } else if (!parsed) {
    Bad(value, "a duration such as 500ms, 30s, 5m or 1h30m (there is no unit for days: 24h)");
  } else if (*parsed < min) {
    Bad(value, min == min.zero() ? "a duration that is not negative"
                                 : fmt::format("at least {}ms", min.count()));
  } else {
    // Not std::chrono::ceil: it adds first, which overflows at the end of the range.
    const auto whole = std::chrono::duration_cast<std::chrono::milliseconds>(*parsed);
    out = whole + std::chrono::milliseconds(*parsed > whole ? 1 : 0);
  }
}

void ValueReader::ReadInteger(const YamlNode& value, std::int64_t min, std::int64_t max,
                              std::optional<std::int64_t>& out) {
  const std::string* text = Scalar(value);
  if (text == nullptr) return;
  const std::optional<std::int64_t> parsed = ParseInteger(*text);
  if (parsed && *parsed >= min && *parsed <= max) {
    out = parsed;
  } else {
    Bad(value, fmt::format("a whole number from {} to {}", min, max));
  }
}

void ValueReader::ReadSize(const YamlNode& value, std::uint64_t min,
                           std::optional<std::uint64_t>& out) {
  const std::string* text = Scalar(value);
  if (text == nullptr) return;
  const std::optional<std::uint64_t> parsed = ParseSize(*text);
  if (!parsed) {
    Bad(value, "a size such as 64MiB (1024 x 1024) or 64MB (1000 x 1000)");
  } else if (*parsed < min) {
    Bad(value, fmt::format("at least {} bytes", min));
  } else {
    out = parsed;
  }
}

void ValueReader::ReadWords(const YamlNode& value, std::vector<std::string>& out) {
  if (value.kind == YamlNode::Kind::kScalar) {
    out.push_back(value.text);
  } else if (value.kind == YamlNode::Kind::kList) {
    for (const YamlNode& item : value.items) {
      if (const std::string* word = Scalar(item)) out.push_back(*word);
    }
  } else if (value.kind == YamlNode::Kind::kMap) {
    Bad(value, "a list of words");
  }
}

}  // namespace runnel::config
