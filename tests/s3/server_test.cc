// The s3 store against the server that the environment names (tools/with-radosgw).

#include "s3/server.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>

#include "http/curl_client.h"
#include "runtime/system_clock.h"
#include "runtime/system_random.h"
#include "store/retrying_store.h"
#include "store/s3/s3_store.h"
#include "testing/capturing_logger.h"
#include "testing/store_conformance.h"

namespace runnel::testing {
namespace {

using store::ObjectKey;
using store::PutCondition;
using namespace store::s3;

// A path of its own in the one bucket of these tests.
class ServerSubject final : public StoreSubject {
 public:
  explicit ServerSubject(const Settings& settings = {})
      : store_(Located(settings),
               {.http = client_,
                .credentials = credentials_,
                .clock = clock_,
                .random = random_,
                .log = log_},
               std::make_shared<BucketFacts>()) {
    EXPECT_OK(MakeTestBucket());
  }
  // As the daemon uses it: this server answers 500 when many want one object.
  store::ObjectStore& store() override { return retrying_; }
  CapturingLogger& log() { return log_; }

 private:
  static Settings Located(Settings settings) {
    static std::atomic<int> number = 0;
    settings.bucket = "bucket";
    settings.endpoint = FromEnvironment("RUNNEL_TEST_S3_ENDPOINT");
    settings.key_prefix = fmt::format("run-{}/{}/", ::getpid(), ++number);
    return settings;
  }

  runtime::SystemClock clock_;
  runtime::SystemRandom random_;
  CapturingLogger log_;
  http::CurlClient client_{{}};
  StaticCredentials credentials_{
      {.access_key_id = FromEnvironment("AWS_ACCESS_KEY_ID"),
       .secret_access_key = Redacted(FromEnvironment("AWS_SECRET_ACCESS_KEY"))}};
  S3Store store_;
  store::RetryingStore retrying_{
      store_, {.first_pause = std::chrono::milliseconds(5)}, clock_, random_};
};

INSTANTIATE_TEST_SUITE_P(Server, ObjectStoreConformanceTest,
                         ::testing::Values(StoreCase{
                             "S3", [] { return std::make_unique<ServerSubject>(); }}),
                         StoreCaseName);

TEST(S3ServerTest, HasConditionalWritesAndIsFoundToHaveThem) {
  ServerSubject subject;
  auto& store = subject.store();
  ASSERT_OK(store::PutObject(store, ObjectKey("k"), AsBytes("x"),
                             {.condition = PutCondition::IfAbsent()}));
  EXPECT_TRUE(store.capabilities().conditional_writes);
  EXPECT_FALSE(subject.log().Contains("no conditional writes"));
}

TEST(S3ServerTest, AConditionHoldsForAnUploadInParts) {
  Settings settings;
  settings.part_size_bytes = kPartSizeMin;
  ServerSubject subject(settings);
  const std::string large(kPartSizeMin + 1, 'x');
  const store::PutOptions if_absent{.condition = PutCondition::IfAbsent()};
  ASSERT_OK(store::PutObject(subject.store(), ObjectKey("k"), AsBytes(large), if_absent));
  EXPECT_FAILS(Errc::kAlreadyExists,
               store::PutObject(subject.store(), ObjectKey("k"), AsBytes(large), if_absent));
}

TEST(S3ServerTest, AWrongSecretIsSaidToBeOne) {
  ServerSubject subject;
  http::CurlClient client({});
  runtime::SystemClock clock;
  runtime::SystemRandom random;
  NullLogger log;
  StaticCredentials credentials({.access_key_id = FromEnvironment("AWS_ACCESS_KEY_ID"),
                                 .secret_access_key = Redacted("wrong")});
  Settings settings;
  settings.bucket = "bucket";
  settings.endpoint = FromEnvironment("RUNNEL_TEST_S3_ENDPOINT");
  S3Store store(
      settings,
      {.http = client, .credentials = credentials, .clock = clock, .random = random, .log = log},
      std::make_shared<BucketFacts>());
  auto listed = store.List("", std::nullopt, 1);
  ASSERT_FAILS(Errc::kPermissionDenied, listed);
  EXPECT_THAT(listed.error().message(), ::testing::HasSubstr("secret-access-key"));
}

TEST(S3ServerTest, AMissingBucketIsNoEmptyReplica) {
  ServerSubject subject;  // the keys
  http::CurlClient client({});
  runtime::SystemClock clock;
  runtime::SystemRandom random;
  NullLogger log;
  StaticCredentials credentials(
      {.access_key_id = FromEnvironment("AWS_ACCESS_KEY_ID"),
       .secret_access_key = Redacted(FromEnvironment("AWS_SECRET_ACCESS_KEY"))});
  Settings settings;
  settings.bucket = "no-such-bucket";
  settings.endpoint = FromEnvironment("RUNNEL_TEST_S3_ENDPOINT");
  S3Store store(
      settings,
      {.http = client, .credentials = credentials, .clock = clock, .random = random, .log = log},
      std::make_shared<BucketFacts>());
  EXPECT_FAILS(Errc::kInvalidArgument, store.List("", std::nullopt, 1));
}

}  // namespace
}  // namespace runnel::testing
