#include "runtime/system_clock.h"

#include <thread>

namespace runnel::runtime {

WallTime SystemClock::Now() {
  return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

MonotonicTime SystemClock::MonotonicNow() { return std::chrono::steady_clock::now(); }

void SystemClock::Sleep(std::chrono::nanoseconds duration) {
  std::this_thread::sleep_for(duration);
}

}  // namespace runnel::runtime
