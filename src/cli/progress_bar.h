// One line on a terminal that shows how far long work is. Nothing where there is no terminal.

#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "cli/command.h"

namespace runnel::cli {

class ProgressBar {
 public:
  ProgressBar(Process& process, std::string what);

  // As often as one likes; draws at most ten times a second.
  void Show(std::uint64_t done_bytes, std::uint64_t total_bytes);

  // Before anything else is printed.
  void Clear();

 private:
  Process& process_;
  const std::string what_;
  const MonotonicTime started_;
  MonotonicTime drawn_{};
  bool visible_ = false;
};

// "1.5 GB"
std::string FormatBytes(std::uint64_t bytes);

}  // namespace runnel::cli
