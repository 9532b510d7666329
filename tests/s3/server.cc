#include "s3/server.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "http/curl_client.h"
#include "runtime/system_clock.h"
#include "store/s3/bucket_client.h"

namespace runnel::testing {

using namespace store::s3;

std::string FromEnvironment(const char* name) {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  EXPECT_NE(value, nullptr) << name << " is not set: run this by tools/with-radosgw";
  return value != nullptr ? value : "";
}

Result<void> MakeTestBucket() {
  http::CurlClient http({});
  runtime::SystemClock clock;
  StaticCredentials credentials(
      {.access_key_id = FromEnvironment("AWS_ACCESS_KEY_ID"),
       .secret_access_key = Redacted(FromEnvironment("AWS_SECRET_ACCESS_KEY"))});
  Settings settings;
  settings.bucket = "bucket";
  settings.endpoint = FromEnvironment("RUNNEL_TEST_S3_ENDPOINT");
  BucketClient client(settings, http, credentials, clock);
  const Call call{.name = "CreateBucket", .method = http::Method::kPut};
  RUNNEL_TRY(const http::Response response, client.Send(call));
  if (response.status == 200 || response.status == 409) return {};
  return Fail(client.Failure(call, response));
}

}  // namespace runnel::testing
