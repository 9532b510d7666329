// RUNNEL_CHECK: for our own bugs only. It is on in release builds, because a daemon that goes on
// after a broken invariant may ship a wrong page. Input from disk, network or SQLite is never
// CHECKed; it comes back as Errc::kCorruption.

#pragma once

namespace runnel {

// Prints the condition and its place to standard error and aborts.
[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);

}  // namespace runnel

#define RUNNEL_CHECK(condition)                              \
  do {                                                       \
    if (!(condition)) [[unlikely]]                           \
      ::runnel::CheckFailed(#condition, __FILE__, __LINE__); \
  } while (false)
