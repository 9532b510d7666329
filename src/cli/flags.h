// Command-line flags as Go's flag package takes them, because scripts written for Litestream do:
// `-x` and `--x` are the same, a value follows as `-x v` or `-x=v`, a switch takes none (or
// `-x=true`), and flags end at the first argument that is none, or at `--`.
//
// One difference: flags after that argument are refused with a hint instead of being taken for
// further arguments.

#pragma once

#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace runnel::cli {

enum class Switch : std::uint8_t { kOff, kOn };

class FlagSet {
 public:
  // `synopsis`: "runnel restore [flags] DB|URL". `text`: what the command does, for --help.
  FlagSet(std::string synopsis, std::string text);

  // Each `target` keeps its value as the default, and outlives Parse(). `value_name` stands for the
  // value in the help.
  void Text(std::string name, std::string& target, std::string value_name, std::string help);
  void Number(std::string name, int& target, std::string value_name, std::string help);
  void Duration(std::string name, std::chrono::milliseconds& target, std::string help);
  void Toggle(std::string name, Switch& target, std::string help);
  // Accepted, and answered with an error that says why it is not offered.
  void Refused(std::string name, std::string why);
  // Lines for the end of the help: worked examples.
  void Example(std::string command, std::string what);

  // The arguments that are not flags. kInvalidArgument naming the flag and the cure; kCancelled if
  // the help was asked for.
  Result<std::vector<std::string>> Parse(std::span<const std::string> arguments);

  std::string Help() const;

 private:
  struct Flag {
    std::string name;
    std::string value_name;  // empty: a switch
    std::string help;
    std::string default_text;
    std::function<Result<void>(const std::string& value)> set;
  };

  const Flag* Find(std::string_view name) const;
  std::string Suggest(std::string_view name) const;
  Result<void> Apply(std::string_view argument, std::span<const std::string>& rest) const;

  const std::string synopsis_;
  const std::string text_;
  std::vector<Flag> flags_;
  std::vector<std::pair<std::string, std::string>> examples_;
};

}  // namespace runnel::cli
