#include "store/retrying_store.h"

#include <memory>
#include <utility>

namespace runnel::store {

class RetryingStore::Writer final : public ObjectWriter {
 public:
  Writer(RetryingStore& store, ObjectKey key, PutOptions options)
      : store_(store), key_(std::move(key)), options_(std::move(options)) {}

  Result<void> Append(ByteView bytes) override {
    if (stream_) return stream_->Append(bytes);
    if (body_.size() + bytes.size() <= store_.policy_.replay_max_bytes) {
      body_.insert(body_.end(), bytes.begin(), bytes.end());
      return {};
    }
    // From here on only the caller could start again. The first request may still be tried
    // again: nothing was consumed by it.
    RUNNEL_TRY(stream_, store_.Retry([&] { return store_.store_.StartPut(key_, options_); }));
    RUNNEL_TRY_VOID(stream_->Append(body_));
    body_ = Bytes();
    return stream_->Append(bytes);
  }

  Result<ObjectInfo> Commit() override {
    if (stream_) return stream_->Commit();
    return store_.PutWhole(key_, options_, body_);
  }

 private:
  RetryingStore& store_;
  const ObjectKey key_;
  const PutOptions options_;
  Bytes body_;                            // everything, until there is a stream
  std::unique_ptr<ObjectWriter> stream_;  // of an object too large to be kept
};

template <class F>
auto RetryingStore::Retry(F call) -> decltype(call()) {
  return store::Retry(RetryAttempts(policy_, clock_, random_, stop_requested_), std::move(call));
}

Result<std::unique_ptr<ObjectWriter>> RetryingStore::StartPut(const ObjectKey& key,
                                                              const PutOptions& options) {
  if (!IsValidKey(key)) return Fail(Errc::kInvalidArgument, key.text() + ": not an object's name");
  return std::make_unique<Writer>(*this, key, options);
}

Result<std::size_t> RetryingStore::ReadAt(const ObjectKey& key, std::uint64_t offset,
                                          MutableBytes out) {
  return Retry([&] { return store_.ReadAt(key, offset, out); });
}

Result<ObjectInfo> RetryingStore::Head(const ObjectKey& key) {
  return Retry([&] { return store_.Head(key); });
}

Result<ListPage> RetryingStore::List(const std::string& prefix,
                                     const std::optional<ObjectKey>& start_after,
                                     std::size_t limit) {
  return Retry([&] { return store_.List(prefix, start_after, limit); });
}

Result<void> RetryingStore::Delete(std::span<const ObjectKey> keys) {
  return Retry([&] { return store_.Delete(keys); });
}

Result<std::size_t> RetryingStore::SweepUnfinished(const std::string& prefix, WallTime older_than) {
  return Retry([&] { return store_.SweepUnfinished(prefix, older_than); });
}

Result<ObjectInfo> RetryingStore::PutWhole(const ObjectKey& key, const PutOptions& options,
                                           ByteView body) {
  // Whether an earlier attempt may have taken effect without telling us.
  bool in_doubt = false;
  return Retry([&]() -> Result<ObjectInfo> {
    RUNNEL_TRY(auto writer, store_.StartPut(key, options));
    RUNNEL_TRY_VOID(writer->Append(body));
    auto committed = writer->Commit();
    if (committed) return committed;
    const Errc code = committed.error().code();
    const bool lost = code == Errc::kAlreadyExists || code == Errc::kPreconditionFailed;
    if (lost && in_doubt) {
      RUNNEL_TRY(const bool is_ours, HasContent(store_, key, body));
      if (is_ours) return store_.Head(key);
    }
    if (committed.error().retryable()) in_doubt = true;
    return committed;
  });
}

}  // namespace runnel::store
