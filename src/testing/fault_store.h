// A store that misbehaves when the test says so, in the ways that networks and services do.
//
// Calls are counted from 1: StartPut, each Append, Commit, ReadAt, Head, List, Delete. A fault is
// set for the n-th; what it does not apply to (a lost reply of a StartPut) is a plain failure.

#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "store/object_store.h"

namespace runnel::testing {

enum class StoreCall : std::uint8_t {
  kStartPut,
  kAppend,
  kCommit,
  kReadAt,
  kHead,
  kList,
  kDelete,
};

std::string_view StoreCallName(StoreCall call);

struct StoreFault {
  enum class Kind : std::uint8_t {
    kFail,       // nothing happens, `code` is returned
    kDelay,      // `delay` passes on the clock, then the call is done
    kTear,       // ReadAt fills half of its buffer, Append takes half, Delete deletes half of the
                 // keys; Commit leaves nothing; then `code` is returned
    kDuplicate,  // Commit and Delete are done twice; the answer is the first one's
    kLoseReply,  // the call is done, `code` is returned
  };

  Kind kind = Kind::kFail;
  Errc code = Errc::kUnavailable;
  std::chrono::nanoseconds delay{0};
};

// Thread-safe. Its writers must not outlive it.
class FaultStore final : public store::ObjectStore {
 public:
  // Both must outlive this.
  FaultStore(store::ObjectStore& store, Clock& clock) : store_(store), clock_(clock) {}

  std::string_view kind() const override { return store_.kind(); }
  std::string location() const override { return store_.location(); }
  store::Capabilities capabilities() const override { return store_.capabilities(); }

  Result<std::unique_ptr<store::ObjectWriter>> StartPut(const store::ObjectKey& key,
                                                        const store::PutOptions& options) override;
  Result<std::size_t> ReadAt(const store::ObjectKey& key, std::uint64_t offset,
                             MutableBytes out) override;
  Result<store::ObjectInfo> Head(const store::ObjectKey& key) override;
  Result<store::ListPage> List(const std::string& prefix,
                               const std::optional<store::ObjectKey>& start_after,
                               std::size_t limit) override;
  Result<void> Delete(std::span<const store::ObjectKey> keys) override;

  // The n-th call from now on, 1 being the next one. May be given for several n.
  void At(std::uint64_t n, StoreFault fault);

  // All calls fail from the n-th on, until Heal().
  void FailFrom(std::uint64_t n, Errc code = Errc::kUnavailable);

  // The next `count` calls are turned away, as by a service that is too busy.
  void Throttle(std::uint64_t count);

  // Only calls of this kind are counted, and so fail; nothing: all kinds.
  void CountOnly(std::optional<StoreCall> call);

  // No more faults; the count starts anew.
  void Heal();

  // From here until Thaw(), List() shows what is there now, whatever is written and deleted.
  Result<void> FreezeListing();
  void ThawListing();

  std::uint64_t call_count() const;

  // The newest calls, one a line, faults marked: to be printed when a test fails.
  std::string RecentCalls() const;

 private:
  class Writer;

  std::optional<StoreFault> Count(StoreCall call, const std::string& what);
  // Does what a delay says and forgets it.
  void Delay(std::optional<StoreFault>& fault);

  template <class T, class F>
  Result<T> Do(StoreCall call, const std::string& what, F forward);

  store::ObjectStore& store_;
  Clock& clock_;

  mutable std::mutex mutex_;
  // The rest: under mutex_.
  std::optional<StoreCall> only_;
  std::uint64_t call_count_ = 0;
  std::map<std::uint64_t, StoreFault> faults_;  // by number of the call
  std::optional<std::uint64_t> fail_from_;
  Errc fail_from_code_ = Errc::kUnavailable;
  std::optional<std::vector<store::ObjectInfo>> frozen_;
  std::deque<std::string> recent_;
};

}  // namespace runnel::testing
