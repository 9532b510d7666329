// Tries again what failed for a reason that may pass, and answers for lost replies.
//
//   (1) Only errors that are retryable() are tried again, with growing pauses, until the attempts
//       or the time of the policy are used up. The last error is returned then.
//   (2) A put whose body fits `replay_max_bytes` is kept in memory and sent as a whole at
//       Commit(), again and again if need be. A larger one streams, and its failure is returned at
//       once: only the caller can make the bytes again.
//   (3) If a conditional put of (2) failed in a way that leaves open whether it took effect, and a
//       later attempt meets an object with exactly its bytes, that object is its own: success.
//
// An ObjectWriter therefore says kAlreadyExists or kPreconditionFailed only for another writer's
// object, unless it streamed: then compare with HasContent() after a retryable failure.

#pragma once

#include <functional>
#include <optional>

#include "base/clock.h"
#include "store/object_store.h"
#include "store/retry.h"

namespace runnel::store {

// Thread-safe.
class RetryingStore final : public ObjectStore {
 public:
  // All must outlive the store and its writers.
  RetryingStore(ObjectStore& store, RetryPolicy policy, Clock& clock, Random& random)
      : store_(store), policy_(policy), clock_(clock), random_(random) {}

  std::string_view kind() const override { return store_.kind(); }
  std::string location() const override { return store_.location(); }
  Capabilities capabilities() const override { return store_.capabilities(); }

  // Asked before each pause: once it says yes nothing is tried again (the error stays the one of
  // the last attempt). To be set before the store is used; called from any thread.
  void SetStopRequested(std::function<bool()> stop_requested) {
    stop_requested_ = std::move(stop_requested);
  }

  Result<std::unique_ptr<ObjectWriter>> StartPut(const ObjectKey& key,
                                                 const PutOptions& options) override;
  Result<std::size_t> ReadAt(const ObjectKey& key, std::uint64_t offset, MutableBytes out) override;
  Result<ObjectInfo> Head(const ObjectKey& key) override;
  Result<ListPage> List(const std::string& prefix, const std::optional<ObjectKey>& start_after,
                        std::size_t limit) override;
  Result<void> Delete(std::span<const ObjectKey> keys) override;
  Result<std::size_t> SweepUnfinished(const std::string& prefix, WallTime older_than) override;

 private:
  class Writer;

  template <class F>
  auto Retry(F call) -> decltype(call());

  // The put of a body that is all there.
  Result<ObjectInfo> PutWhole(const ObjectKey& key, const PutOptions& options, ByteView body);

  ObjectStore& store_;
  const RetryPolicy policy_;
  Clock& clock_;
  Random& random_;
  std::function<bool()> stop_requested_;
};

}  // namespace runnel::store
