#include "cli/interrupt.h"

#include <utility>

namespace runnel::cli {

Interrupt::Interrupt() {
  auto receiver = runtime::SignalReceiver::Install();
  if (!receiver) return;
  receiver_ = std::move(*receiver);
  waiter_ = std::jthread([this] {
    for (;;) {
      const auto signal = receiver_->Wait();
      if (!signal || !*signal) return;  // interrupted by our destructor
      if (**signal != runtime::Signal::kHangUp) source_.request_stop();
    }
  });
}

Interrupt::~Interrupt() {
  if (receiver_) receiver_->Interrupt();
  if (waiter_.joinable()) waiter_.join();
}

}  // namespace runnel::cli
