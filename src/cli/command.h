// What a command is given, and what it leaves.

#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "cli/flags.h"
#include "config/environment.h"
#include "config/parse_config.h"
#include "fs/file_system.h"

namespace runnel::cli {

// 0 and 1 are Litestream's; scripts test for nothing else.
enum class ExitCode : int { kSuccess = 0, kFailure = 1 };

enum class Terminal : std::uint8_t { kNo, kYes };

// The process that a command runs in. Outlives the command.
struct Process {
  fs::FileSystem& fs;
  Clock& clock;
  Random& random;
  const config::Environment& environment;
  std::string working_directory;              // absolute
  std::function<void(std::string_view)> out;  // standard output
  std::function<void(std::string_view)> err;  // standard error
  Terminal err_is_terminal = Terminal::kNo;
  config::Strictness strictness = config::Strictness::kRunnel;
};

struct Command {
  std::string_view name;
  std::string_view summary;  // one line, for `runnel help`
  Result<void> (*run)(Process& process, std::span<const std::string> arguments);
};

std::span<const Command> Commands();

// How strict a program of this name (argv[0]) is: one that stands in for `litestream` takes every
// configuration that Litestream took.
config::Strictness StrictnessOf(std::string_view program);

// `arguments` without the program's name.
ExitCode RunMain(Process& process, std::span<const std::string> arguments);

// Parses and, for -help, prints the help: kCancelled then, which RunMain() takes for a success.
Result<std::vector<std::string>> ParseOrHelp(FlagSet& flags, Process& process,
                                             std::span<const std::string> arguments);

// The commands, each in a file of its own name.
Result<void> RunReplicate(Process& process, std::span<const std::string> arguments);
Result<void> RunRestore(Process& process, std::span<const std::string> arguments);
Result<void> RunVerify(Process& process, std::span<const std::string> arguments);
Result<void> RunVersion(Process& process, std::span<const std::string> arguments);

}  // namespace runnel::cli
