#include "fs/directory_watch.h"

#include <utility>

namespace runnel::fs {

std::string_view WatchEventKindName(WatchEventKind kind) {
  switch (kind) {
    case WatchEventKind::kCreated: return "created";
    case WatchEventKind::kModified: return "modified";
    case WatchEventKind::kAttribute: return "attribute";
    case WatchEventKind::kDeleted: return "deleted";
    case WatchEventKind::kMovedIn: return "moved_in";
    case WatchEventKind::kMovedOut: return "moved_out";
    case WatchEventKind::kGone: return "gone";
    case WatchEventKind::kOverflow: return "overflow";
  }
  std::unreachable();
}

}  // namespace runnel::fs
