#include "store/memory_store.h"

#include <algorithm>

#include "base/hash64.h"
#include "store/content_etag.h"

namespace runnel::store {
namespace {

Error NotFound(const ObjectKey& key) { return {Errc::kNotFound, key.text() + ": no such object"}; }

}  // namespace

class MemoryStore::Writer final : public ObjectWriter {
 public:
  Writer(MemoryStore& store, ObjectKey key, PutOptions options)
      : store_(store), key_(std::move(key)), options_(std::move(options)) {}

  Result<void> Append(ByteView bytes) override {
    body_.insert(body_.end(), bytes.begin(), bytes.end());
    return {};
  }

  Result<ObjectInfo> Commit() override { return store_.Store(key_, options_, std::move(body_)); }

 private:
  MemoryStore& store_;
  const ObjectKey key_;
  const PutOptions options_;
  Bytes body_;
};

Result<std::unique_ptr<ObjectWriter>> MemoryStore::StartPut(const ObjectKey& key,
                                                            const PutOptions& options) {
  if (!IsValidKey(key)) return Fail(Errc::kInvalidArgument, key.text() + ": not an object's name");
  if (options.condition.kind() != PutCondition::Kind::kNone && !capabilities_.conditional_writes) {
    return Fail(Errc::kUnsupported, "this store has no conditional writes");
  }
  return std::make_unique<Writer>(*this, key, options);
}

Result<std::size_t> MemoryStore::ReadAt(const ObjectKey& key, std::uint64_t offset,
                                        MutableBytes out) {
  std::shared_ptr<const Object> object;
  {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(key);
    if (found == objects_.end()) return Fail(NotFound(key));
    object = found->second;
  }
  if (offset >= object->body.size()) return 0;
  const ByteView rest = ByteView(object->body).subspan(static_cast<std::size_t>(offset));
  const std::size_t count = std::min(rest.size(), out.size());
  std::ranges::copy(rest.first(count), out.begin());
  return count;
}

Result<ObjectInfo> MemoryStore::Head(const ObjectKey& key) {
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(key);
  if (found == objects_.end()) return Fail(NotFound(key));
  return found->second->info;
}

Result<ListPage> MemoryStore::List(const std::string& prefix,
                                   const std::optional<ObjectKey>& start_after, std::size_t limit) {
  RUNNEL_CHECK(limit > 0);
  const std::lock_guard lock(mutex_);
  ListPage page;
  auto next = objects_.lower_bound(ObjectKey(prefix));
  if (start_after && start_after->text() >= prefix) next = objects_.upper_bound(*start_after);
  for (; next != objects_.end() && next->first.text().starts_with(prefix); ++next) {
    if (page.objects.size() == limit) {
      page.next_after = page.objects.back().key;
      break;
    }
    page.objects.push_back(next->second->info);
    if (!capabilities_.timestamps_in_list) page.objects.back().timestamp = next->second->uploaded;
  }
  return page;
}

Result<void> MemoryStore::Delete(std::span<const ObjectKey> keys) {
  const std::lock_guard lock(mutex_);
  for (const ObjectKey& key : keys) objects_.erase(key);
  return {};
}

Result<ObjectInfo> MemoryStore::Store(const ObjectKey& key, const PutOptions& options, Bytes body) {
  auto object = std::make_shared<Object>();
  object->uploaded = clock_.Now();
  object->info = {.key = key,
                  .size_bytes = body.size(),
                  .etag = ContentEtag(body.size(), Hash64(body)),
                  .timestamp = options.timestamp.value_or(object->uploaded)};
  object->body = std::move(body);
  const std::lock_guard lock(mutex_);
  RUNNEL_TRY_VOID(CheckCondition(key, options.condition));
  ObjectInfo info = object->info;
  objects_[key] = std::move(object);
  return info;
}

// With the mutex held.
Result<void> MemoryStore::CheckCondition(const ObjectKey& key,
                                         const PutCondition& condition) const {
  const auto found = objects_.find(key);
  const bool exists = found != objects_.end();
  if (condition.kind() == PutCondition::Kind::kIfAbsent && exists) {
    return Fail(Errc::kAlreadyExists, key.text() + ": already there");
  }
  if (condition.kind() == PutCondition::Kind::kIfMatch &&
      (!exists || found->second->info.etag != condition.etag())) {
    return Fail(Errc::kPreconditionFailed, key.text() + ": changed or gone");
  }
  return {};
}

}  // namespace runnel::store
