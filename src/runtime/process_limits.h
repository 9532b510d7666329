// What the system allows this process.

#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace runnel::runtime {

struct DescriptorLimit {
  std::uint64_t at_start = 0;  // what a child process should get back
  std::uint64_t now = 0;
};

// Raises the soft limit of open files to the hard one. The system starts us low for the sake of
// programs that use select(); this one does not.
Result<DescriptorLimit> RaiseDescriptorLimit();

// Fails, naming the number needed and the cure, if `limit` is lower than `needed`.
Result<void> RequireDescriptors(std::uint64_t limit, std::uint64_t needed);

// Has all threads share two regions of the heap. By default each thread of a pool gets its own, and
// each keeps what a burst of work once took.
void LimitHeapRegions();

// Gives pages of the heap back to the system that nothing lies in any more. Takes some
// milliseconds for a heap of 100 MiB, in which other threads may wait.
void ReturnFreeMemory();

// How many inotify watches the user of this process may have, over all its processes.
Result<std::uint64_t> InotifyWatchLimit(
    const std::string& proc_file = "/proc/sys/fs/inotify/max_user_watches");

}  // namespace runnel::runtime
