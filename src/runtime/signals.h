// Signals as values, taken by one thread that waits for them.

#pragma once

#include <signal.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/result.h"

namespace runnel::runtime {

enum class Signal : std::uint8_t {
  kTerminate,  // SIGTERM
  kInterrupt,  // SIGINT
  kHangUp,     // SIGHUP
};

// For the time of its life the calling thread, and threads that it starts, take no signals but
// those that a fault of the thread itself raises.
class SignalsBlocked {
 public:
  SignalsBlocked();
  ~SignalsBlocked();
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

// Made by main() before any other thread, which then inherits that these signals are blocked; one
// at a time in a process. A child process must unblock them and give SIGPIPE its default again,
// between fork and exec.
class SignalReceiver {
 public:
  // Also makes the process ignore SIGPIPE: a reader that went away is an EPIPE for the writer.
  static Result<std::unique_ptr<SignalReceiver>> Install();

  // Gives back the mask of the calling thread, which is the one that called Install().
  ~SignalReceiver();
  SignalReceiver(const SignalReceiver&) = delete;
  SignalReceiver& operator=(const SignalReceiver&) = delete;

  // The next signal. Blocks, with no limit if `timeout` is empty. Nothing after `timeout`, or when
  // Interrupt() was called. Two of the same kind that come before the wait may be one.
  Result<std::optional<Signal>> Wait(std::optional<std::chrono::milliseconds> timeout = {});

  // Makes the present, or else the next, Wait() return nothing. From any thread.
  void Interrupt();

 private:
  SignalReceiver() = default;

  sigset_t mask_before_{};
  struct sigaction pipe_before_{};
  int signal_fd_ = -1;
  int interrupt_fd_ = -1;
};

}  // namespace runnel::runtime
