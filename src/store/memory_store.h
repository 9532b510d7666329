// Objects in memory: for tests, and for trying things out.

#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "store/object_store.h"

namespace runnel::store {

// Thread-safe.
class MemoryStore final : public ObjectStore {
 public:
  // `clock` gives the time of an upload that names none, and must outlive the store.
  // `capabilities` lets it pass for another kind of store; what it denies is then not done.
  explicit MemoryStore(Clock& clock, Capabilities capabilities = {.conditional_writes = true,
                                                                  .bills_requests = false,
                                                                  .timestamps_in_list = true})
      : clock_(clock), capabilities_(capabilities) {}

  std::string_view kind() const override { return "memory"; }
  std::string location() const override { return "memory://"; }
  Capabilities capabilities() const override { return capabilities_; }

  Result<std::unique_ptr<ObjectWriter>> StartPut(const ObjectKey& key,
                                                 const PutOptions& options) override;
  Result<std::size_t> ReadAt(const ObjectKey& key, std::uint64_t offset, MutableBytes out) override;
  Result<ObjectInfo> Head(const ObjectKey& key) override;
  Result<ListPage> List(const std::string& prefix, const std::optional<ObjectKey>& start_after,
                        std::size_t limit) override;
  Result<void> Delete(std::span<const ObjectKey> keys) override;

 private:
  class Writer;
  struct Object {
    ObjectInfo info;
    WallTime uploaded;
    Bytes body;
  };

  Result<ObjectInfo> Store(const ObjectKey& key, const PutOptions& options, Bytes body);
  Result<void> CheckCondition(const ObjectKey& key, const PutCondition& condition) const;

  Clock& clock_;
  const Capabilities capabilities_;
  std::mutex mutex_;
  std::map<ObjectKey, std::shared_ptr<const Object>> objects_;  // under mutex_
};

}  // namespace runnel::store
