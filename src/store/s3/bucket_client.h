// One bucket: requests are signed, and sent to where it lies.
//
//   (1) The region is found out if it is not given, or wrong: the store's answer names it.
//   (2) Where this machine's clock is too far off for signatures, the store's time is used.
//   (3) Credentials that the store calls expired are asked for anew, once.
//
// Nothing else is tried again: that is the business of RetryingStore.

#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "http/client.h"
#include "http/uri.h"
#include "store/s3/credentials.h"
#include "store/s3/endpoint.h"
#include "store/s3/failure.h"
#include "store/s3/settings.h"

namespace runnel::store::s3 {

struct Call {
  std::string_view name = {};  // "PutObject"; for messages
  http::Method method = http::Method::kGet;
  std::string key = {};  // in the bucket; empty: the bucket itself
  http::Query query = {};
  http::Headers headers = {};
  ByteView body = {};
  MutableBytes body_out = {};
  std::chrono::seconds idle_timeout{60};
  // Whether it ends early when a stop is requested. What cleans up does not.
  enum class OnStop : std::uint8_t { kEnd, kFinish } on_stop = OnStop::kEnd;
};

// Thread-safe. What it is given by reference outlives it.
class BucketClient {
 public:
  BucketClient(Settings settings, http::Client& http, CredentialsSource& credentials, Clock& clock);

  // The store's last word, whatever its status. An error leaves open whether the call took effect.
  Result<http::Response> Send(const Call& call);

  // The error that `response`, no success, is.
  Error Failure(const Call& call, const http::Response& response) const;

  const Settings& settings() const { return settings_; }

  // To be set before the client is used; called from any thread.
  void SetStopRequested(std::function<bool()> stop_requested) {
    stop_requested_ = std::move(stop_requested);
  }

 private:
  Result<http::Response> SendOnce(const Call& call, const std::string& region,
                                  const Credentials& credentials);
  std::string Region() const;
  // Whether the response names another region than `used`; it is used from now on.
  bool LearnRegion(const http::Response& response, const Refusal& refusal, const std::string& used);
  // Whether the store's time is another than was thought; it is used from now on.
  bool LearnTime(const http::Response& response);

  const Settings settings_;
  http::Client& http_;
  CredentialsSource& credentials_;
  Clock& clock_;
  std::function<bool()> stop_requested_;
  std::atomic<std::int64_t> clock_offset_ms_ = 0;  // the store's clock minus ours
  mutable std::mutex mutex_;
  std::string region_;  // under mutex_
};

}  // namespace runnel::store::s3
