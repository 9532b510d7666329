// A process for commands under test: a machine in memory, output in strings.

#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cli/command.h"
#include "fs/file_operations.h"
#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"

namespace runnel::cli::testing {

class CommandTestBase : public ::testing::Test {
 protected:
  // Of the newest Run().
  std::string out_;
  std::string err_;

  ExitCode Run(const std::vector<std::string>& arguments) {
    out_.clear();
    err_.clear();
    return RunMain(process_, arguments);
  }

  void WriteFile(const fs::Path& path, std::string_view content) {
    ASSERT_OK(files_.CreateDirectories(path.parent_path(), {.mode = 0700}));
    ASSERT_OK(fs::ReplaceFile(files_, path, AsBytes(content), {}));
  }

  runnel::testing::ManualClock clock_;
  runnel::testing::MemoryFileSystem files_{clock_};
  runnel::testing::SeededRandom random_{1};
  config::Environment environment_;
  Process process_{.fs = files_,
                   .clock = clock_,
                   .random = random_,
                   .environment = environment_,
                   .working_directory = "/work",
                   .out = [this](std::string_view text) { out_ += text; },
                   .err = [this](std::string_view text) { err_ += text; }};
};

}  // namespace runnel::cli::testing
