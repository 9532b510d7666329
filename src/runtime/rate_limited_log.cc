#include "runtime/rate_limited_log.h"

#include <fmt/format.h>

#include <algorithm>

namespace runnel::runtime {

void RateLimitedLog::Log(LogLevel level, std::string_view message, const char* subject_key,
                         std::string_view subject, const Error& error) {
  std::string text =
      fmt::format("{}\n{}\n{}\n{}", LogLevelName(level), message, subject, error.message());
  std::uint64_t left_out = 0;
  {
    const MutexLock lock(mutex_);
    const MonotonicTime now = clock_.MonotonicNow();
    if (Entry* entry = Find(text); entry == nullptr) {
      Remember(std::move(text), now);
    } else {
      entry->seen_at = now;
      if (now - entry->logged_at < interval_) {
        ++entry->left_out;
        return;
      }
      entry->logged_at = now;
      left_out = std::exchange(entry->left_out, 0);
    }
  }
  if (!logger_.Enabled(level)) return;
  if (left_out == 0) {
    logger_.Write(level, message, {{subject_key, subject}, {"error", error}});
  } else {
    logger_.Write(level, message,
                  {{subject_key, subject}, {"error", error}, {"repeated", left_out}});
  }
}

void RateLimitedLog::Clear() {
  const MutexLock lock(mutex_);
  entries_ = {};  // gives the memory back too
}

RateLimitedLog::Entry* RateLimitedLog::Find(const std::string& text) {
  const auto entry = std::ranges::find(entries_, text, &Entry::text);
  return entry == entries_.end() ? nullptr : &*entry;
}

void RateLimitedLog::Remember(std::string text, MonotonicTime now) {
  if (entries_.size() == kErrorsMax) {
    entries_.erase(std::ranges::min_element(entries_, {}, &Entry::seen_at));
  }
  entries_.push_back({.text = std::move(text), .logged_at = now, .seen_at = now});
}

}  // namespace runnel::runtime
