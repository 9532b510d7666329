// Stores in S3 that are opened as the configuration says, and what they share: connections,
// credentials, what is known of their buckets.

#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/log.h"
#include "cli/command.h"
#include "config/config.h"
#include "http/curl_client.h"
#include "store/s3/credential_chain.h"
#include "store/s3/s3_store.h"

namespace runnel::cli {

struct OpenedS3 {
  std::shared_ptr<store::ObjectStore> store;  // tries again what may pass
  std::function<void()> stop;                 // from then on nothing is waited for
};

// Outlives what it opened. Not thread-safe; the stores are.
class S3Stores {
 public:
  // Both outlive it.
  S3Stores(Process& process, Logger& log);

  // No request is made.
  Result<OpenedS3> Open(const config::Replica& replica, const fs::Path& relative);

 private:
  struct Stack;

  std::shared_ptr<store::s3::CredentialsSource> CredentialsOf(const config::S3Keys& keys);

  Process& process_;
  Logger& log_;
  http::CurlClient http_;
  const store::s3::ChainWorld world_;
  const std::shared_ptr<store::s3::CredentialsSource> chain_;
  std::map<std::string, std::shared_ptr<store::s3::BucketFacts>> facts_;  // by endpoint and bucket
};

}  // namespace runnel::cli
