// A store in a FakeS3, and all that it needs.

#pragma once

#include <memory>

#include "base/log.h"
#include "http/curl_client.h"
#include "store/retrying_store.h"
#include "store/s3/s3_store.h"
#include "testing/capturing_logger.h"
#include "testing/manual_clock.h"
#include "testing/s3/fake_s3.h"
#include "testing/seeded_random.h"

namespace runnel::store::s3 {

struct FakeWorld {
  explicit FakeWorld(testing::FakeS3Options options = {}) : server(std::move(options), clock) {}

  // Of the fake: path style, its region and keys.
  Settings MakeSettings() const {
    Settings settings;
    settings.bucket = "bucket";
    settings.key_prefix = "replicas/app/";
    settings.region = "us-east-1";
    settings.endpoint = server.endpoint();
    return settings;
  }

  std::unique_ptr<S3Store> MakeStore(Settings settings) {
    return std::make_unique<S3Store>(std::move(settings),
                                     Environment{.http = client,
                                                 .credentials = credentials,
                                                 .clock = clock,
                                                 .random = random,
                                                 .log = log},
                                     std::make_shared<BucketFacts>());
  }
  std::unique_ptr<S3Store> MakeStore() { return MakeStore(MakeSettings()); }

  testing::ManualClock clock;
  testing::SeededRandom random{7};
  testing::CapturingLogger log;
  testing::FakeS3 server;
  http::CurlClient client{{}};
  StaticCredentials credentials{
      {.access_key_id = "AKIAFAKE", .secret_access_key = Redacted("fake/secret+key")}};
};

}  // namespace runnel::store::s3
