#include "fs/inotify_watcher.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/check.h"

namespace runnel::fs {
namespace {

constexpr std::uint32_t kMask = IN_CREATE | IN_MODIFY | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM |
                                IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF;

constexpr std::uint32_t kHow = IN_ONLYDIR | IN_EXCL_UNLINK;

struct KindOfMask {
  std::uint32_t mask;
  WatchEventKind kind;
};
constexpr KindOfMask kKinds[] = {
    {IN_CREATE, WatchEventKind::kCreated},      {IN_MODIFY, WatchEventKind::kModified},
    {IN_ATTRIB, WatchEventKind::kAttribute},    {IN_DELETE, WatchEventKind::kDeleted},
    {IN_MOVED_FROM, WatchEventKind::kMovedOut}, {IN_MOVED_TO, WatchEventKind::kMovedIn},
};

std::unexpected<Error> FailErrno(std::string_view what) {
  const int saved_errno = errno;
  return Fail(Error::FromErrno(saved_errno, what));
}

// Adds the event, unless it says what the one before it said.
void Push(std::vector<WatchEvent>& events, WatchEvent event) {
  if (events.empty() || events.back() != event) events.push_back(std::move(event));
}

}  // namespace

Result<std::unique_ptr<InotifyWatcher>> InotifyWatcher::Make() {
  UniqueFd inotify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify.valid()) {
    return FailErrno("inotify (too many instances? see fs.inotify.max_user_instances)");
  }
  UniqueFd interrupt(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!interrupt.valid()) return FailErrno("eventfd");
  return std::unique_ptr<InotifyWatcher>(
      new InotifyWatcher(std::move(inotify), std::move(interrupt)));
}

Result<WatchId> InotifyWatcher::Add(const Path& directory) {
  // The lock covers the call, so that events are translated only once their watch is known.
  const std::lock_guard lock(mutex_);
  const int number = ::inotify_add_watch(inotify_.get(), directory.c_str(), kMask | kHow);
  if (number < 0) {
    if (errno == ENOSPC) {
      return Fail(Errc::kUnavailable, "watch " + directory.native() +
                                          ": too many watches; raise fs.inotify.max_user_watches");
    }
    return FailErrno("watch " + directory.native());
  }
  Watch& watch = watches_[number];
  if (watch.use_count++ == 0) {
    watch.id = WatchId{++last_id_};
    watch.path = directory;
    numbers_[last_id_] = number;
  }
  return watch.id;
}

void InotifyWatcher::Remove(WatchId watch) {
  const std::lock_guard lock(mutex_);
  const auto number = numbers_.find(static_cast<std::uint64_t>(watch));
  if (number == numbers_.end()) return;
  const int descriptor = number->second;
  if (--watches_.at(descriptor).use_count > 0) return;
  Forget(descriptor);
  ::inotify_rm_watch(inotify_.get(), descriptor);
}

void InotifyWatcher::PauseModified(WatchId watch) {
  SetMask(watch, kMask & ~std::uint32_t{IN_MODIFY});
}

void InotifyWatcher::ResumeModified(WatchId watch) { SetMask(watch, kMask); }

void InotifyWatcher::SetMask(WatchId watch, std::uint32_t mask) {
  const std::lock_guard lock(mutex_);
  const auto number = numbers_.find(static_cast<std::uint64_t>(watch));
  if (number == numbers_.end()) return;
  const int descriptor = number->second;
  const Path& path = watches_.at(descriptor).path;
  const int found = ::inotify_add_watch(inotify_.get(), path.c_str(), mask | kHow);
  if (found == descriptor) return;
  // The path leads elsewhere now, perhaps to another directory that is watched. The kernel tells
  // of the end of this watch, as of any other.
  if (found >= 0 && watches_.contains(found)) {
    (void)::inotify_add_watch(inotify_.get(), path.c_str(), kMask | kHow);
  } else if (found >= 0) {
    ::inotify_rm_watch(inotify_.get(), found);
  }
  ::inotify_rm_watch(inotify_.get(), descriptor);
}

Result<std::vector<WatchEvent>> InotifyWatcher::Wait(
    std::optional<std::chrono::milliseconds> timeout) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + timeout.value_or(std::chrono::milliseconds(0));
  std::array<pollfd, 2> polled{pollfd{.fd = inotify_.get(), .events = POLLIN, .revents = 0},
                               pollfd{.fd = interrupt_.get(), .events = POLLIN, .revents = 0}};
  std::vector<WatchEvent> events;
  while (events.empty()) {
    int rest = -1;
    if (timeout) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
      rest = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1 << 30));
    }
    const int ready = ::poll(polled.data(), polled.size(), rest);
    if (ready < 0 && errno != EINTR) return FailErrno("poll of directory watches");
    if (ready == 0) break;
    if (ready < 0) continue;
    if (polled[1].revents != 0) {
      std::uint64_t count = 0;
      (void)!::read(interrupt_.get(), &count, sizeof count);  // back to zero; only we read it
      RUNNEL_TRY_VOID(ReadEvents(events));
      break;
    }
    // May give nothing, when all was of directories that nobody watches any more.
    RUNNEL_TRY_VOID(ReadEvents(events));
  }
  return events;
}

void InotifyWatcher::Interrupt() {
  const std::uint64_t one = 1;
  (void)!::write(interrupt_.get(), &one, sizeof one);  // fails only if it is set 2^64 times
}

Result<void> InotifyWatcher::ReadEvents(std::vector<WatchEvent>& events) {
  alignas(inotify_event) std::array<char, 64 * 1024> buffer;
  ssize_t size;
  do {
    size = ::read(inotify_.get(), buffer.data(), buffer.size());
  } while (size < 0 && errno == EINTR);
  if (size < 0) {
    if (errno == EAGAIN) return {};
    return FailErrno("read of directory watches");
  }
  const std::lock_guard lock(mutex_);
  std::size_t offset = 0;
  while (offset < static_cast<std::size_t>(size)) {
    // The kernel pads names, so that every event is aligned.
    const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + offset);
    Translate(*event, events);
    offset += sizeof(inotify_event) + event->len;
  }
  return {};
}

void InotifyWatcher::Translate(const inotify_event& event, std::vector<WatchEvent>& events) {
  if ((event.mask & IN_Q_OVERFLOW) != 0) {
    Push(events, {.watch = {}, .kind = WatchEventKind::kOverflow, .name = {}});
    return;
  }
  const auto watch = watches_.find(event.wd);
  if (watch == watches_.end()) return;
  const WatchId id = watch->second.id;
  if ((event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)) != 0) {
    Forget(event.wd);
    // A directory that was moved is still watched by the kernel, but not where it is thought to be.
    if ((event.mask & IN_MOVE_SELF) != 0) ::inotify_rm_watch(inotify_.get(), event.wd);
    Push(events, {.watch = id, .kind = WatchEventKind::kGone, .name = {}});
    return;
  }
  if (event.len == 0) return;  // attributes of the directory itself
  for (const KindOfMask& known : kKinds) {
    if ((event.mask & known.mask) != 0) {
      Push(events, {.watch = id, .kind = known.kind, .name = event.name});
    }
  }
}

void InotifyWatcher::Forget(int descriptor) {
  const auto watch = watches_.find(descriptor);
  RUNNEL_CHECK(watch != watches_.end());
  numbers_.erase(static_cast<std::uint64_t>(watch->second.id));
  watches_.erase(watch);
}

}  // namespace runnel::fs
