// Errors that come back with every retry, logged now and then.

#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"

namespace runnel::runtime {

// One for each thing that retries (a database, a destination). The first time an error comes it is
// logged at once; the same one again at most every `interval`, with `repeated` telling how many
// were left out since. Remembers the kErrorsMax latest errors. Thread-safe.
class RateLimitedLog {
 public:
  static constexpr std::chrono::seconds kInterval{30};
  static constexpr std::size_t kErrorsMax = 8;

  // Both outlive this.
  RateLimitedLog(Logger& logger, Clock& clock, std::chrono::nanoseconds interval = kInterval)
      : logger_(logger), clock_(clock), interval_(interval) {}

  // `subject` is what the errors are about: `subject_key`=`subject` in the line.
  void Log(LogLevel level, std::string_view message, const char* subject_key,
           std::string_view subject, const Error& error);

  // It works again: the next error is logged at once, as a new one.
  void Clear();

 private:
  struct Entry {
    std::string text;  // level, message, subject and error
    MonotonicTime logged_at;
    MonotonicTime seen_at;
    std::uint64_t left_out = 0;
  };

  Entry* Find(const std::string& text) RUNNEL_REQUIRES(mutex_);
  void Remember(std::string text, MonotonicTime now) RUNNEL_REQUIRES(mutex_);

  Logger& logger_;
  Clock& clock_;
  const std::chrono::nanoseconds interval_;
  Mutex mutex_;
  std::vector<Entry> entries_ RUNNEL_GUARDED_BY(mutex_);
};

}  // namespace runnel::runtime
