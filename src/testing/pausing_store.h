// A store whose user is stopped for a while at a chosen call, as by SIGSTOP or a slow network:
// somebody else does what they like meanwhile, then the call goes on as if nothing had happened.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "store/object_store.h"

namespace runnel::testing {

// One thread. Calls are counted as those of FaultStore; the pause comes before the call is done.
class PausingStore final : public store::ObjectStore {
 public:
  explicit PausingStore(store::ObjectStore& store) : store_(store) {}

  // Before the n-th call from the beginning, `meanwhile` happens. Replaces an earlier one.
  void At(std::uint64_t n, std::function<void()> meanwhile) {
    pause_at_ = n;
    meanwhile_ = std::move(meanwhile);
  }

  std::uint64_t call_count() const { return call_count_; }

  std::string_view kind() const override { return store_.kind(); }
  std::string location() const override { return store_.location(); }
  store::Capabilities capabilities() const override { return store_.capabilities(); }

  Result<std::unique_ptr<store::ObjectWriter>> StartPut(const store::ObjectKey& key,
                                                        const store::PutOptions& options) override {
    Count();
    RUNNEL_TRY(auto writer, store_.StartPut(key, options));
    return std::make_unique<Writer>(*this, std::move(writer));
  }
  Result<std::size_t> ReadAt(const store::ObjectKey& key, std::uint64_t offset,
                             MutableBytes out) override {
    Count();
    return store_.ReadAt(key, offset, out);
  }
  Result<store::ObjectInfo> Head(const store::ObjectKey& key) override {
    Count();
    return store_.Head(key);
  }
  Result<store::ListPage> List(const std::string& prefix,
                               const std::optional<store::ObjectKey>& start_after,
                               std::size_t limit) override {
    Count();
    return store_.List(prefix, start_after, limit);
  }
  Result<void> Delete(std::span<const store::ObjectKey> keys) override {
    Count();
    return store_.Delete(keys);
  }
  Result<std::size_t> SweepUnfinished(const std::string& prefix, WallTime older_than) override {
    Count();
    return store_.SweepUnfinished(prefix, older_than);
  }

 private:
  class Writer final : public store::ObjectWriter {
   public:
    Writer(PausingStore& owner, std::unique_ptr<store::ObjectWriter> writer)
        : owner_(owner), writer_(std::move(writer)) {}
    Result<void> Append(ByteView bytes) override {
      owner_.Count();
      return writer_->Append(bytes);
    }
    Result<store::ObjectInfo> Commit() override {
      owner_.Count();
      return writer_->Commit();
    }

   private:
    PausingStore& owner_;
    std::unique_ptr<store::ObjectWriter> writer_;
  };

  void Count() {
    if (++call_count_ == pause_at_ && meanwhile_) std::exchange(meanwhile_, nullptr)();
  }

  store::ObjectStore& store_;
  std::uint64_t call_count_ = 0;
  std::uint64_t pause_at_ = 0;
  std::function<void()> meanwhile_;
};

}  // namespace runnel::testing
