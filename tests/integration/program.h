// Other programs, run to their end or killed.

#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace runnel::integration {

class Program {
 public:
  // `arguments` start with the path of the program. Its standard output is kept; standard error is
  // the test's own unless `error` is kDiscarded.
  enum class StandardError : unsigned char { kShown, kDiscarded };
  explicit Program(std::vector<std::string> arguments,
                   StandardError error = StandardError::kDiscarded);
  ~Program();  // kills it
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Reads its output up to and including `line`; false if it ended before.
  bool WaitFor(const std::string& line);

  void Signal(int number);
  void Kill();  // SIGKILL

  // Reads the rest of its output. Its exit status, or minus the signal that ended it.
  int Wait();

  const std::string& output() const { return output_; }

 private:
  bool ReadSome();

  pid_t pid_ = -1;
  int pipe_ = -1;
  std::string output_;
};

}  // namespace runnel::integration
