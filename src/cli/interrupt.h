// SIGINT and SIGTERM as a request to stop, for a command that works on its own thread.

#pragma once

#include <memory>
#include <stop_token>
#include <thread>

#include "runtime/signals.h"

namespace runnel::cli {

// Made before any other thread. If signals cannot be received they act as usual.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  std::stop_token stop_token() const { return source_.get_token(); }

 private:
  std::stop_source source_;
  std::unique_ptr<runtime::SignalReceiver> receiver_;
  std::jthread waiter_;
};

}  // namespace runnel::cli
