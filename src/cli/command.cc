#include "cli/command.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace runnel::cli {
namespace {

constexpr std::array kCommands = {
    Command{"replicate", "keep copies of live databases", RunReplicate},
    Command{"restore", "bring a database back from its copies", RunRestore},
    Command{"verify", "prove that a replica is whole", RunVerify},
    Command{"version", "print the version", RunVersion},
};

std::string Usage() {
  std::string usage =
      "runnel keeps continuous copies of live SQLite databases, restorable to any moment.\n\n"
      "Usage: runnel COMMAND [flags] [arguments]\n\nCommands:\n";
  for (const Command& command : kCommands) {
    usage += fmt::format("  {:<12}{}\n", command.name, command.summary);
  }
  usage += "\n`runnel COMMAND -help` explains a command.\n";
  return usage;
}

ExitCode Fails(Process& process, const Error& error) {
  process.err(fmt::format("Error: {}\n", error.message()));
  return ExitCode::kFailure;
}

}  // namespace

std::span<const Command> Commands() { return kCommands; }

ExitCode RunMain(Process& process, std::span<const std::string> arguments) {
  if (arguments.empty()) {
    process.out(Usage());
    return ExitCode::kFailure;
  }
  const std::string& name = arguments.front();
  if (name == "help" || name == "-h" || name == "-help" || name == "--help") {
    process.out(Usage());
    return ExitCode::kSuccess;
  }
  const auto command = std::ranges::find(kCommands, name, &Command::name);
  if (command == kCommands.end()) {
    return Fails(process, Error(Errc::kInvalidArgument,
                                fmt::format("{}: there is no such command; `runnel help` lists "
                                            "them",
                                            name)));
  }
  const auto done = command->run(process, arguments.subspan(1));
  if (done || done.error().code() == Errc::kCancelled) return ExitCode::kSuccess;
  return Fails(process, done.error());
}

Result<std::vector<std::string>> ParseOrHelp(FlagSet& flags, Process& process,
                                             std::span<const std::string> arguments) {
  auto parsed = flags.Parse(arguments);
  if (!parsed && parsed.error().code() == Errc::kCancelled) process.out(flags.Help());
  return parsed;
}

}  // namespace runnel::cli
