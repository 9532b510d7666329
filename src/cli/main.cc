// The program: makes the real world and hands it to a command.

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

#include "cli/command.h"
#include "fs/posix_file_system.h"
#include "fs/system_paths.h"
#include "runtime/system_clock.h"
#include "runtime/system_random.h"

namespace {

// A pipe that was closed under us is the reader's affair.
void Print(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

runnel::config::Environment ReadEnvironment(char** entries) {
  runnel::config::Environment environment;
  for (char** entry = entries; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

}  // namespace

int main(int argc, char** argv, char** envp) {
  // Past `ulimit -f` a write fails, as on a full disk; it does not end the process.
  ::signal(SIGXFSZ, SIG_IGN);
  // A connection that the other side has closed is an error of one request.
  ::signal(SIGPIPE, SIG_IGN);
  const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  runnel::fs::PosixFileSystem fs;
  runnel::runtime::SystemClock clock;
  runnel::runtime::SystemRandom random;
  const auto environment = ReadEnvironment(envp);
  runnel::cli::Process process{
      .fs = fs,
      .clock = clock,
      .random = random,
      .environment = environment,
      .working_directory = runnel::fs::WorkingDirectory().value_or("/").string(),
      .out = [](std::string_view text) { Print(STDOUT_FILENO, text); },
      .err = [](std::string_view text) { Print(STDERR_FILENO, text); },
      .err_is_terminal =
          ::isatty(STDERR_FILENO) == 1 ? runnel::cli::Terminal::kYes : runnel::cli::Terminal::kNo,
      .strictness = runnel::cli::StrictnessOf(argc > 0 ? argv[0] : "")};
  return static_cast<int>(runnel::cli::RunMain(process, arguments));
}
