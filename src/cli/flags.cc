#include "cli/flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/edit_distance.h"
#include "config/values.h"

namespace runnel::cli {
namespace {

constexpr std::size_t kHelpColumn = 30;

Result<void> NotA(std::string_view what, const std::string& value) {
  return Fail(Errc::kInvalidArgument, fmt::format("'{}' is not {}", value, what));
}

}  // namespace

FlagSet::FlagSet(std::string synopsis, std::string text)
    : synopsis_(std::move(synopsis)), text_(std::move(text)) {}

void FlagSet::Text(std::string name, std::string& target, std::string value_name,
                   std::string help) {
  flags_.push_back({.name = std::move(name),
                    .value_name = std::move(value_name),
                    .help = std::move(help),
                    .default_text = target,
                    .set = [&target](const std::string& value) -> Result<void> {
                      target = value;
                      return {};
                    }});
}

void FlagSet::Number(std::string name, int& target, std::string value_name, std::string help) {
  flags_.push_back({.name = std::move(name),
                    .value_name = std::move(value_name),
                    .help = std::move(help),
                    .default_text = std::to_string(target),
                    .set = [&target](const std::string& value) -> Result<void> {
                      const char* end = value.data() + value.size();
                      const auto [parsed, code] = std::from_chars(value.data(), end, target);
                      if (code != std::errc{} || parsed != end)
                        return NotA("a whole number", value);
                      return {};
                    }});
}

void FlagSet::Duration(std::string name, std::chrono::milliseconds& target, std::string help) {
  flags_.push_back({.name = std::move(name),
                    .value_name = "DURATION",
                    .help = std::move(help),
                    .default_text = fmt::format("{}ms", target.count()),
                    .set = [&target](const std::string& value) -> Result<void> {
                      const auto parsed = config::ParseDuration(value);
                      if (!parsed) return NotA("a duration such as 300ms, 10s or 1h30m", value);
                      target = std::chrono::duration_cast<std::chrono::milliseconds>(*parsed);
                      return {};
                    }});
}

void FlagSet::Toggle(std::string name, Switch& target, std::string help) {
  flags_.push_back({.name = std::move(name),
                    .value_name = "",
                    .help = std::move(help),
                    .default_text = "",
                    .set = [&target](const std::string& value) -> Result<void> {
                      if (value == "true" || value == "1" || value == "t") {
                        target = Switch::kOn;
                      } else if (value == "false" || value == "0" || value == "f") {
                        target = Switch::kOff;
                      } else {
                        return NotA("true or false", value);
                      }
                      return {};
                    }});
}

void FlagSet::Refused(std::string name, std::string why) {
  flags_.push_back({.name = std::move(name),
                    .value_name = "",
                    .help = "",
                    .default_text = "",
                    .set = [why = std::move(why)](const std::string&) -> Result<void> {
                      return Fail(Errc::kUnsupported, why);
                    }});
}

void FlagSet::Example(std::string command, std::string what) {
  examples_.emplace_back(std::move(command), std::move(what));
}

const FlagSet::Flag* FlagSet::Find(std::string_view name) const {
  const auto found = std::ranges::find(flags_, name, &Flag::name);
  return found == flags_.end() ? nullptr : &*found;
}

std::string FlagSet::Suggest(std::string_view name) const {
  const auto distance = [&](const Flag& flag) { return EditDistance(name, flag.name); };
  const auto nearest = std::ranges::min_element(flags_, {}, distance);
  if (nearest == flags_.end() || distance(*nearest) > 2) return "see -help for the list";
  return fmt::format("did you mean -{}?", nearest->name);
}

Result<std::vector<std::string>> FlagSet::Parse(std::span<const std::string> arguments) {
  std::span<const std::string> rest = arguments;
  while (!rest.empty()) {
    const std::string_view argument = rest.front();
    if (argument == "--") {
      rest = rest.subspan(1);
      return std::vector(rest.begin(), rest.end());
    }
    if (argument.size() < 2 || argument.front() != '-') break;
    rest = rest.subspan(1);
    RUNNEL_TRY_VOID(Apply(argument, rest));
  }
  for (const std::string& argument : rest) {
    if (argument.size() < 2 || argument.front() != '-') continue;
    return Fail(
        Errc::kInvalidArgument,
        fmt::format("{}: flags come before the first argument; write: {}", argument, synopsis_));
  }
  return std::vector(rest.begin(), rest.end());
}

Result<void> FlagSet::Apply(std::string_view argument, std::span<const std::string>& rest) const {
  std::string_view name = argument.substr(argument.starts_with("--") ? 2 : 1);
  std::optional<std::string> value;
  if (const std::size_t equals = name.find('='); equals != std::string_view::npos) {
    value = name.substr(equals + 1);
    name = name.substr(0, equals);
  }
  if (name == "h" || name == "help") return Fail(Errc::kCancelled, "help");
  const Flag* flag = Find(name);
  if (flag == nullptr) {
    return Fail(Errc::kInvalidArgument,
                fmt::format("-{}: there is no such flag; {}", name, Suggest(name)));
  }
  if (!value && flag->value_name.empty()) value = "true";
  if (!value) {
    if (rest.empty()) {
      return Fail(Errc::kInvalidArgument,
                  fmt::format("-{} needs a value: -{} {}", name, name, flag->value_name));
    }
    value = rest.front();
    rest = rest.subspan(1);
  }
  if (auto set = flag->set(*value); !set) {
    return Fail(std::move(set).error().Context(fmt::format("-{}", name)));
  }
  return {};
}

std::string FlagSet::Help() const {
  std::string help = fmt::format("Usage: {}\n\n{}\n", synopsis_, text_);
  std::string list;
  for (const Flag& flag : flags_) {
    if (flag.help.empty()) continue;
    std::string head = "  -" + flag.name;
    if (!flag.value_name.empty()) head += " " + flag.value_name;
    list += head.size() < kHelpColumn
                ? fmt::format("{:<{}}{}", head, kHelpColumn, flag.help)
                : fmt::format("{}\n{:<{}}{}", head, "", kHelpColumn, flag.help);
    if (!flag.default_text.empty()) list += fmt::format(" (default {})", flag.default_text);
    list += "\n";
  }
  if (!list.empty()) help += "\nFlags:\n" + list;
  if (!examples_.empty()) help += "\nExamples:\n";
  for (const auto& [command, what] : examples_) {
    help += fmt::format("  {}\n      {}\n", command, what);
  }
  return help;
}

}  // namespace runnel::cli
