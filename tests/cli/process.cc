#include "cli/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <sstream>

#include "base/check.h"

namespace runnel::cli_testing {
namespace {

using std::chrono::steady_clock;

constexpr milliseconds kLookEvery{5};

void Limit(__rlimit_resource resource, const std::optional<std::uint64_t>& most) {
  if (!most) return;
  const rlimit limit{*most, *most};
  if (::setrlimit(resource, &limit) != 0) ::_exit(126);
}

// In the child, between fork and exec.
[[noreturn]] void Become(const ProcessOptions& options, int out, int err,
                         const std::vector<char*>& arguments,
                         const std::vector<char*>& environment) {
  // Nobody but the test ends it, and with the test it ends.
  ::setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int in = ::open("/dev/null", O_RDONLY);
  if (in < 0 || ::dup2(in, STDIN_FILENO) < 0 || ::dup2(out, STDOUT_FILENO) < 0 ||
      ::dup2(err, STDERR_FILENO) < 0 || ::chdir(options.working_directory.c_str()) != 0) {
    ::_exit(126);
  }
  Limit(RLIMIT_FSIZE, options.file_size_max);
  Limit(RLIMIT_NOFILE, options.descriptors_max);
  if (options.user && ::setuid(*options.user) != 0) ::_exit(126);
  ::execve(arguments.front(), arguments.data(), environment.data());
  ::_exit(127);
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

int OpenOutput(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  RUNNEL_CHECK(fd >= 0);
  return fd;
}

}  // namespace

bool Eventually(const std::function<bool()>& fact, milliseconds limit) {
  const auto deadline = steady_clock::now() + limit;
  while (!fact()) {
    if (steady_clock::now() >= deadline) return false;
    ::poll(nullptr, 0, static_cast<int>(kLookEvery.count()));  // another process works meanwhile
  }
  return true;
}

Process::Process(std::vector<std::string> arguments, ProcessOptions options) {
  arguments.insert(arguments.begin(), RUNNEL_PROGRAM);
  std::vector<std::string> environment = {"PATH=/usr/bin:/bin", "HOME=/nonexistent"};
  for (const auto& [name, value] : options.environment) {
    environment.push_back(name);
    environment.back().append("=").append(value);
  }
  const std::vector<char*> argument_pointers = Pointers(arguments);
  const std::vector<char*> environment_pointers = Pointers(environment);
  const int out = OpenOutput(output_.path() / "out");
  const int err = OpenOutput(output_.path() / "err");
  pid_ = ::fork();
  RUNNEL_CHECK(pid_ >= 0);
  if (pid_ == 0) Become(options, out, err, argument_pointers, environment_pointers);
  ::close(out);
  ::close(err);
}

Process::~Process() {
  if (exit_code_) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Process::Signal(int number) const {
  RUNNEL_CHECK(!exit_code_);
  RUNNEL_CHECK(::kill(pid_, number) == 0);
}

std::optional<int> Process::Wait(milliseconds limit) {
  Eventually(
      [&] {
        if (exit_code_) return true;
        int status = 0;
        const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
        RUNNEL_CHECK(ended >= 0);
        if (ended == 0) return false;
        exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        return true;
      },
      limit);
  return exit_code_;
}

std::string Process::Out() const { return ReadAll(output_.path() / "out"); }
std::string Process::Err() const { return ReadAll(output_.path() / "err"); }

bool Process::Prints(const std::string& text, std::size_t from, milliseconds limit) const {
  return Eventually([&] { return Out().find(text, from) != std::string::npos; }, limit);
}

Outcome RunRunnel(std::vector<std::string> arguments, ProcessOptions options) {
  Process process(std::move(arguments), std::move(options));
  const std::optional<int> exit_code = process.Wait();
  EXPECT_TRUE(exit_code) << "it runs on and on\n" << process.Out() << process.Err();
  return {.exit_code = exit_code.value_or(-SIGKILL), .out = process.Out(), .err = process.Err()};
}

std::size_t Count(const std::string& in, const std::string& text) {
  std::size_t count = 0;
  for (std::size_t at = in.find(text); at != std::string::npos; at = in.find(text, at + 1)) ++count;
  return count;
}

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return std::move(content).str();
}

void WriteAll(const std::filesystem::path& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << content;
  RUNNEL_CHECK(file.flush().good());
}

}  // namespace runnel::cli_testing
