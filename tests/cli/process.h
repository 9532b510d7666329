// The program under test, run as a user runs it: another process, its output in files.

#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "testing/temp_dir.h"

namespace runnel::cli_testing {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Far more than anything here takes, so that a loaded machine fails no test.
inline constexpr seconds kPatience{60};

// Asks `fact` every few milliseconds until it holds. False if it does not within `limit`.
bool Eventually(const std::function<bool()>& fact, milliseconds limit = kPatience);

struct ProcessOptions {
  std::filesystem::path working_directory = "/";
  std::vector<std::pair<std::string, std::string>> environment = {};  // beside PATH, HOME
  // As `ulimit -f` and `ulimit -n` set them.
  std::optional<std::uint64_t> file_size_max = {};
  std::optional<std::uint64_t> descriptors_max = {};
  std::optional<uid_t> user = {};
};

// The program `runnel` with arguments. Killed, if it still runs, by the destructor.
class Process {
 public:
  explicit Process(std::vector<std::string> arguments, ProcessOptions options = {});
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void Signal(int number) const;

  // Its exit code, or minus the signal that ended it; nothing if it runs on for `limit`.
  std::optional<int> Wait(milliseconds limit = kPatience);

  std::string Out() const;
  std::string Err() const;

  // Its standard output has `text` after its first `from` bytes.
  bool Prints(const std::string& text, std::size_t from = 0, milliseconds limit = kPatience) const;

  pid_t pid() const { return pid_; }

 private:
  testing::TempDir output_;
  pid_t pid_ = -1;
  std::optional<int> exit_code_;
};

struct Outcome {
  int exit_code = 0;  // minus the signal that ended it
  std::string out;
  std::string err;
};

// Runs it to its end; a test failure and a kill if that takes longer than kPatience.
Outcome RunRunnel(std::vector<std::string> arguments, ProcessOptions options = {});

// How often `text` stands in `in`.
std::size_t Count(const std::string& in, const std::string& text);

std::string ReadAll(const std::filesystem::path& path);
void WriteAll(const std::filesystem::path& path, const std::string& content);

}  // namespace runnel::cli_testing
