#include "cli/command.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/edit_distance.h"

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
  usage += "\n`runnel help COMMAND` explains a command.\n";
  return usage;
}

const Command* Find(std::string_view name) {
  const auto command = std::ranges::find(kCommands, name, &Command::name);
  return command == kCommands.end() ? nullptr : &*command;
}

Error NoSuchCommand(const std::string& name) {
  const auto distance = [&](const Command& command) { return EditDistance(name, command.name); };
  const auto nearest = std::ranges::min_element(kCommands, {}, distance);
  const std::string cure = distance(*nearest) <= 2 ? fmt::format("did you mean {}?", nearest->name)
                                                   : "`runnel help` lists them";
  return {Errc::kInvalidArgument, fmt::format("{}: there is no such command; {}", name, cure)};
}

// `runnel help COMMAND` is `runnel COMMAND -help`, `runnel -version` is `runnel version`.
std::vector<std::string> Rewrite(std::span<const std::string> arguments) {
  const std::string& first = arguments.front();
  if (first == "help" && arguments.size() > 1) return {arguments[1], "-help"};
  if (first == "-version" || first == "--version") return {"version"};
  return {arguments.begin(), arguments.end()};
}

ExitCode Fails(Process& process, const Error& error) {
  process.err(fmt::format("Error: {}\n", error.message()));
  return ExitCode::kFailure;
}

}  // namespace

std::span<const Command> Commands() { return kCommands; }

config::Strictness StrictnessOf(std::string_view program) {
  const std::string_view name = program.substr(program.rfind('/') + 1);
  return name == "litestream" ? config::Strictness::kLitestream : config::Strictness::kRunnel;
}

ExitCode RunMain(Process& process, std::span<const std::string> arguments) {
  if (arguments.empty()) {
    process.out(Usage());
    return ExitCode::kFailure;
  }
  const std::vector<std::string> words = Rewrite(arguments);
  const std::string& name = words.front();
  if (name == "help" || name == "-h" || name == "-help" || name == "--help") {
    process.out(Usage());
    return ExitCode::kSuccess;
  }
  const Command* command = Find(name);
  if (command == nullptr) return Fails(process, NoSuchCommand(name));
  const auto done = command->run(process, std::span(words).subspan(1));
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
