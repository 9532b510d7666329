// A child process that can be killed.

#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace runnel::tests {

class Process {
 public:
  // `program` with `arguments`; standard output and standard error are appended to `log`.
  Process(const std::string& program, const std::vector<std::string>& arguments,
          const std::string& log);
  ~Process();  // kills it
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void Signal(int signal);

  // Its exit status; 128 + n if signal n ended it.
  int Wait();

 private:
  pid_t pid_;
  int status_ = -1;
};

}  // namespace runnel::tests
