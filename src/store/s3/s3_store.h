// Objects in S3 and what speaks its language.
//
//   (1) An object that fits in one part is one PUT, a longer one a multipart upload. An upload that
//       is not completed is aborted; what a killed process leaves is the business of a lifecycle
//       rule of the bucket (AbortIncompleteMultipartUpload).
//   (2) Whether the store has conditional writes is found out at the first of them, by creating the
//       object "runnel/conditional-writes" twice. It stays there, so that the next one who asks
//       needs one request less; List() does not show it. Where the second write goes through,
//       StartPut() with a condition is kUnsupported, and capabilities() says so from then on.
//   (3) The condition of a multipart upload is looked at before its completion too, by HEAD: some
//       stores ignore it there. On those, two writers of one large object in the same second can
//       both succeed; the last one's is there.
//   (4) Every object has its timestamp as metadata `litestream-timestamp`. List() does not return
//       it, Head() does.
//   (5) Parts are tried again by themselves; anything else is the business of RetryingStore.
//
// Timestamps have milliseconds. Etags are those of the store, without quotes.

#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>

#include "base/log.h"
#include "store/object_store.h"
#include "store/retry.h"
#include "store/s3/bucket_client.h"

namespace runnel::store::s3 {

inline constexpr std::string_view kProbeKey = "runnel/conditional-writes";

// What is found out about a bucket, once for all stores that lie in it. Thread-safe.
struct BucketFacts {
  enum class Answer : std::uint8_t { kUnknown, kYes, kNo };

  std::mutex probe_mutex;  // held while the store is asked
  std::atomic<Answer> conditional_writes = Answer::kUnknown;
  std::atomic<bool> bare_etags = false;  // If-Match wants the etag without quotes
  std::atomic<bool> deletes_one_by_one = false;
};

// What a store is built on. All of it outlives the store.
struct Environment {
  http::Client& http;
  CredentialsSource& credentials;
  Clock& clock;
  Random& random;
  Logger& log;
};

// Thread-safe.
class S3Store final : public ObjectStore {
 public:
  S3Store(Settings settings, const Environment& environment, std::shared_ptr<BucketFacts> facts,
          RetryPolicy part_policy = {});

  std::string_view kind() const override { return "s3"; }
  std::string location() const override;
  Capabilities capabilities() const override;

  // As that of RetryingStore, for the parts of uploads; requests that are under way end too.
  void SetStopRequested(std::function<bool()> stop_requested) {
    client_.SetStopRequested(stop_requested);
    stop_requested_ = std::move(stop_requested);
  }

  Result<std::unique_ptr<ObjectWriter>> StartPut(const ObjectKey& key,
                                                 const PutOptions& options) override;
  Result<std::size_t> ReadAt(const ObjectKey& key, std::uint64_t offset, MutableBytes out) override;
  Result<ObjectInfo> Head(const ObjectKey& key) override;
  Result<ListPage> List(const std::string& prefix, const std::optional<ObjectKey>& start_after,
                        std::size_t limit) override;
  Result<void> Delete(std::span<const ObjectKey> keys) override;

 private:
  class Writer;
  using Answer = BucketFacts::Answer;

  std::string FullKey(const ObjectKey& key) const { return settings().key_prefix + key.text(); }
  const Settings& settings() const { return client_.settings(); }

  http::Headers CustomerKeyHeaders() const;  // of every request that touches an object's bytes
  http::Headers ObjectHeaders(WallTime timestamp) const;  // of every request that makes an object
  Result<http::Response> SendPut(Call call, const PutCondition& condition);
  Error PutFailure(const Call& call, const http::Response& response,
                   const PutCondition& condition) const;
  Result<http::Response> SendHead(const std::string& full_key);
  Result<ObjectInfo> PutWhole(const ObjectKey& key, const PutOptions& options, ByteView body);

  // Whether conditional writes hold; asks the store the first time.
  Result<bool> HasConditionalWrites();
  Result<bool> ProbeConditionalWrites();
  // Whether the condition `name: value` kept the probe's object from being written. Nothing if the
  // store does not know such requests.
  Result<std::optional<bool>> IsRefused(const std::string& name, const std::string& value);

  Result<void> DeleteOne(const std::string& full_key);
  Result<void> DeleteBatch(std::span<const std::string> full_keys);

  BucketClient client_;
  const Environment environment_;
  const std::shared_ptr<BucketFacts> facts_;
  const RetryPolicy part_policy_;
  std::function<bool()> stop_requested_;
};

}  // namespace runnel::store::s3
