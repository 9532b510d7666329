#include "integration/program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "base/check.h"

namespace runnel::integration {

Program::Program(std::vector<std::string> arguments, StandardError error) {
  std::array<int, 2> ends;
  RUNNEL_CHECK(::pipe2(ends.data(), O_CLOEXEC) == 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  if (error == StandardError::kDiscarded) {
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  }
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  RUNNEL_CHECK(::posix_spawn(&pid_, pointers[0], &actions, nullptr, pointers.data(), environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  pipe_ = ends[0];
}

Program::~Program() {
  if (pid_ > 0) {
    Kill();
    Wait();
  }
  ::close(pipe_);
}

bool Program::ReadSome() {
  std::array<char, 4096> buffer;
  const ssize_t got = ::read(pipe_, buffer.data(), buffer.size());
  if (got <= 0) return false;
  output_.append(buffer.data(), static_cast<std::size_t>(got));
  return true;
}

bool Program::WaitFor(const std::string& line) {
  while (output_.find(line + "\n") == std::string::npos) {
    if (!ReadSome()) return false;
  }
  return true;
}

void Program::Signal(int number) { ::kill(pid_, number); }

void Program::Kill() { Signal(SIGKILL); }

int Program::Wait() {
  while (ReadSome()) {
  }
  int status = 0;
  RUNNEL_CHECK(::waitpid(pid_, &status, 0) == pid_);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace runnel::integration
