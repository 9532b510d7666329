#include "runtime/signals.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"

namespace runnel::runtime {
namespace {

sigset_t ReceivedSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
  return set;
}

Signal FromNumber(std::uint32_t number) {
  if (number == SIGINT) return Signal::kInterrupt;
  if (number == SIGHUP) return Signal::kHangUp;
  return Signal::kTerminate;
}

}  // namespace

SignalsBlocked::SignalsBlocked() {
  sigset_t all;
  sigfillset(&all);
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) {
    sigdelset(&all, number);
  }
  RUNNEL_CHECK(pthread_sigmask(SIG_BLOCK, &all, &before_) == 0);
}

SignalsBlocked::~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

Result<std::unique_ptr<SignalReceiver>> SignalReceiver::Install() {
  std::unique_ptr<SignalReceiver> receiver(new SignalReceiver);
  const sigset_t set = ReceivedSignals();
  RUNNEL_CHECK(pthread_sigmask(SIG_BLOCK, &set, &receiver->mask_before_) == 0);
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  RUNNEL_CHECK(sigaction(SIGPIPE, &ignore, &receiver->pipe_before_) == 0);
  receiver->signal_fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (receiver->signal_fd_ < 0) return Fail(Error::FromErrno(errno, "making a signal descriptor"));
  receiver->interrupt_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (receiver->interrupt_fd_ < 0) {
    return Fail(Error::FromErrno(errno, "making an event descriptor"));
  }
  return receiver;
}

SignalReceiver::~SignalReceiver() {
  if (signal_fd_ >= 0) close(signal_fd_);
  if (interrupt_fd_ >= 0) close(interrupt_fd_);
  sigaction(SIGPIPE, &pipe_before_, nullptr);
  pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
}

Result<std::optional<Signal>> SignalReceiver::Wait(
    std::optional<std::chrono::milliseconds> timeout) {
  using std::chrono::steady_clock;
  std::optional<steady_clock::time_point> deadline;
  if (timeout) deadline = steady_clock::now() + *timeout;
  for (;;) {
    int wait_ms = -1;
    if (deadline) {
      const auto rest =
          std::chrono::ceil<std::chrono::milliseconds>(*deadline - steady_clock::now());
      wait_ms = static_cast<int>(std::clamp<std::int64_t>(rest.count(), 0, 1'000'000'000));
    }
    pollfd fds[] = {{signal_fd_, POLLIN, 0}, {interrupt_fd_, POLLIN, 0}};
    const int ready = poll(fds, 2, wait_ms);
    if (ready < 0 && errno != EINTR) return Fail(Error::FromErrno(errno, "waiting for signals"));
    if (ready == 0 && deadline && steady_clock::now() >= *deadline) return std::nullopt;
    signalfd_siginfo info;
    if (read(signal_fd_, &info, sizeof(info)) == ssize_t{sizeof(info)}) {
      return FromNumber(info.ssi_signo);
    }
    std::uint64_t count = 0;
    if (read(interrupt_fd_, &count, sizeof(count)) == ssize_t{sizeof(count)}) return std::nullopt;
  }
}

void SignalReceiver::Interrupt() {
  const std::uint64_t one = 1;
  // Fails only when the counter is full: then the interruption is there already.
  [[maybe_unused]] const ssize_t written = write(interrupt_fd_, &one, sizeof(one));
}

}  // namespace runnel::runtime
