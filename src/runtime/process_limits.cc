#include "runtime/process_limits.h"

#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>

#include <cerrno>
#include <charconv>
#include <fstream>

namespace runnel::runtime {

Result<DescriptorLimit> RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return Fail(Error::FromErrno(errno, "reading the limit of open files"));
  }
  const std::uint64_t at_start = limit.rlim_cur;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
      return Fail(Error::FromErrno(errno, "raising the limit of open files"));
    }
  }
  return DescriptorLimit{.at_start = at_start, .now = limit.rlim_cur};
}

Result<void> RequireDescriptors(std::uint64_t limit, std::uint64_t needed) {
  if (limit >= needed) return {};
  return Fail(Errc::kInvalidArgument,
              fmt::format("{} open files are needed, and the limit of this process is {}: raise "
                          "the hard limit (LimitNOFILE={} in a systemd unit, or ulimit -Hn {}), or "
                          "replicate fewer databases",
                          needed, limit, needed, needed));
}

void LimitHeapRegions() {
#ifdef M_ARENA_MAX  // of glibc
  mallopt(M_ARENA_MAX, 2);
#endif
}

void ReturnFreeMemory() {
#ifdef M_ARENA_MAX
  malloc_trim(0);
#endif
}

Result<std::uint64_t> InotifyWatchLimit(const std::string& proc_file) {
  errno = 0;
  std::ifstream file(proc_file);
  std::string text;
  if (!std::getline(file, text)) {
    return Fail(Error::FromErrno(errno != 0 ? errno : EIO, proc_file));
  }
  std::uint64_t limit = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Fail(Errc::kCorruption, proc_file + ": not a number: " + text);
  }
  return limit;
}

}  // namespace runnel::runtime
