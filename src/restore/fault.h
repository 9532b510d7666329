// Whose fault a failure was: another destination may help against a bad object, never against a
// full disk.

#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>

#include "base/result.h"
#include "restore/inventory.h"

namespace runnel::restore {

enum class FaultPlace : std::uint8_t {
  kSource,  // the store, or what is in it
  kTarget,  // the place to restore to
  kCaller,  // it asked to stop
};

struct Fault {
  FaultPlace place = FaultPlace::kCaller;
  // The object that is damaged or gone, where one is to blame.
  std::optional<LtxFile> file;
};

// The first fault of several threads. Thread-safe.
class FaultRecord {
 public:
  // Passes `error` on, with the file's name in front.
  Error AtFile(const Source& source, const LtxFile& file, Error error) {
    Record({FaultPlace::kSource, file});
    return std::move(error).Context(source.KeyOf(file).text());
  }
  // As AtFile(), where a fault of the source as a whole was recorded and turns out to be this
  // file's.
  Error Blame(const Source& source, const LtxFile& file, Error error) {
    const std::lock_guard lock(mutex_);
    if (first_ && !first_->file) first_->file = file;
    return std::move(error).Context(source.KeyOf(file).text());
  }
  Error AtTarget(Error error) {
    Record({FaultPlace::kTarget, std::nullopt});
    return error;
  }
  Error AtSource(Error error) {
    Record({FaultPlace::kSource, std::nullopt});
    return error;
  }

  // What to blame for `error`, which a call that records here returned.
  Fault Get(const Error& error) const {
    const std::lock_guard lock(mutex_);
    if (error.code() == Errc::kCancelled || !first_) return {};
    return *first_;
  }

 private:
  void Record(const Fault& fault) {
    const std::lock_guard lock(mutex_);
    if (!first_) first_ = fault;
  }

  mutable std::mutex mutex_;
  std::optional<Fault> first_;
};

}  // namespace runnel::restore
