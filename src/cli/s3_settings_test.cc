#include "cli/s3_settings.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "cli/s3_stores.h"
#include "cli/testing.h"
#include "config/parse_config.h"
#include "store/s3/settings.h"

namespace runnel::cli {
namespace {

using store::s3::Settings;
using ::testing::HasSubstr;

class S3SettingsTest : public testing::CommandTestBase {
 protected:
  // The replica of a configuration that holds `replica`, and `top` at its top.
  config::Replica ReplicaOf(const std::string& replica, const std::string& top = "") {
    const auto parsed =
        config::ParseConfig(fmt::format("{}\ndbs: [{{path: /db, replica: {{{}}}}}]", top, replica),
                            {.environment = environment_, .working_directory = "/work"});
    EXPECT_TRUE(parsed.config) << replica << ": "
                               << config::FormatDiagnostic("here", parsed.diagnostics.front());
    EXPECT_TRUE(parsed.diagnostics.empty()) << replica;
    return parsed.config ? parsed.config->databases[0].replicas[0] : config::Replica();
  }

  std::string ErrorOf(const std::string& replica) {
    const auto parsed =
        config::ParseConfig(fmt::format("dbs: [{{path: /db, replica: {{{}}}}}]", replica),
                            {.environment = environment_, .working_directory = "/work"});
    if (!parsed.config) return parsed.diagnostics.front().message;
    auto settings = S3SettingsOf(process_, parsed.config->databases[0].replicas[0], {});
    return settings ? "none" : settings.error().message();
  }

  // Every field as text.
  std::string Shown(const config::Replica& replica, const fs::Path& relative = {}) {
    auto result = S3SettingsOf(process_, replica, relative);
    EXPECT_OK(result);
    if (!result) return "";
    const Settings& s = *result;
    return fmt::format(
        "{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", s.bucket, s.key_prefix, s.region, s.endpoint,
        s.addressing ? static_cast<int>(*s.addressing) : -1, static_cast<int>(s.payload_signing),
        static_cast<int>(s.delete_checksum), s.storage_class, s.kms_key_id,
        s.customer_key ? s.customer_key->key_base64.Reveal() : "", s.part_size_bytes,
        s.parts_in_flight, static_cast<int>(s.transport.peer_check), s.transport.ca_file);
  }
  std::string Shown(const std::string& replica, const std::string& top = "") {
    return Shown(ReplicaOf(replica, top));
  }
};

constexpr const char* kDefaults = "b|p/||http://127.0.0.1:9|-1|0|0||||8388608|4|0|";

TEST_F(S3SettingsTest, EachKeyHasItsEffectOnAReplicaAndForAll) {
  WriteFile("/key", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n");
  const std::string key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
  const std::pair<std::string, std::string> cases[] = {
      {"region: eu-x", "b|p/|eu-x|http://127.0.0.1:9|-1|0|0||||8388608|4|0|"},
      {"force-path-style: false", "b|p/||http://127.0.0.1:9|0|0|0||||8388608|4|0|"},
      {"force-path-style: true", "b|p/||http://127.0.0.1:9|1|0|0||||8388608|4|0|"},
      {"sign-payload: false", "b|p/||http://127.0.0.1:9|-1|1|0||||8388608|4|0|"},
      {"require-content-md5: false", "b|p/||http://127.0.0.1:9|-1|0|1||||8388608|4|0|"},
      {"storage-class: IA", "b|p/||http://127.0.0.1:9|-1|0|0|IA|||8388608|4|0|"},
      {"sse-kms-key-id: k", "b|p/||http://127.0.0.1:9|-1|0|0||k||8388608|4|0|"},
      {"sse-customer-key: " + key, "b|p/||http://127.0.0.1:9|-1|0|0|||" + key + "|8388608|4|0|"},
      {"sse-customer-key-path: /key", "b|p/||http://127.0.0.1:9|-1|0|0|||" + key + "|8388608|4|0|"},
      {"sse-customer-algorithm: AES256", kDefaults},
      {"part-size: 10MiB", "b|p/||http://127.0.0.1:9|-1|0|0||||10485760|4|0|"},
      {"concurrency: 2", "b|p/||http://127.0.0.1:9|-1|0|0||||8388608|2|0|"},
      {"skip-verify: true", "b|p/||http://127.0.0.1:9|-1|0|0||||8388608|4|1|"},
      {"ca-file: /ca.pem", "b|p/||http://127.0.0.1:9|-1|0|0||||8388608|4|0|/ca.pem"},
  };
  const std::string url = "url: \"s3://b/p?endpoint=127.0.0.1:9\"";
  const std::string keys = "type: s3, bucket: b, path: p, endpoint: 127.0.0.1:9";
  EXPECT_EQ(Shown(url), kDefaults);
  EXPECT_EQ(Shown(keys), kDefaults);
  for (const auto& [text, settings] : cases) {
    EXPECT_EQ(Shown(url + ", " + text), settings) << text;
    EXPECT_EQ(Shown(keys + ", " + text), settings) << text;
    EXPECT_EQ(Shown(url, text), settings) << text;
  }
  EXPECT_EQ(Shown("type: s3, path: p", "bucket: b\nendpoint: 127.0.0.1:9"), kDefaults);
  EXPECT_EQ(Shown(url, "bucket: another"), kDefaults) << "the URL has its own";
  EXPECT_EQ(Shown(url + ", region: mine", "region: all"),
            "b|p/|mine|http://127.0.0.1:9|-1|0|0||||8388608|4|0|");
}

TEST_F(S3SettingsTest, KeysAreTakenAsAPair) {
  const auto own = ReplicaOf("url: \"s3://b/p\", access-key-id: A, secret-access-key: B",
                             "access-key-id: C\nsecret-access-key: D\nsession-token: E");
  EXPECT_EQ(own.s3.access_key_id, "A");
  EXPECT_EQ(own.s3.secret_access_key->Reveal(), "B");
  EXPECT_FALSE(own.s3.session_token);
  const auto inherited =
      ReplicaOf("url: \"s3://b/p\"", "access-key-id: C\nsecret-access-key: D\nsession-token: E");
  EXPECT_EQ(inherited.s3.access_key_id, "C");
  EXPECT_EQ(inherited.s3.session_token->Reveal(), "E");
}

TEST_F(S3SettingsTest, KeysBeginAsLitestreamsDo) {
  const auto prefix = [this](const std::string& replica, const fs::Path& relative = {}) {
    auto settings = S3SettingsOf(process_, ReplicaOf(replica), relative);
    return settings ? settings->key_prefix : settings.error().message();
  };
  EXPECT_EQ(prefix("url: \"s3://b/p/q\""), "p/q/");
  EXPECT_EQ(prefix("url: \"s3://b\""), "./");
  EXPECT_EQ(prefix("url: \"s3://b/\""), "/");
  EXPECT_EQ(prefix("type: s3, bucket: b, path: ./odd//path"), "./odd//path/");
  EXPECT_EQ(prefix("type: s3, bucket: b"), "/");
  EXPECT_EQ(prefix("url: \"s3://b/p\"", "sub/app.db"), "p/sub/app.db/");
  EXPECT_EQ(prefix("url: \"s3://b\"", "app.db"), "app.db/");
  EXPECT_EQ(prefix("type: s3, bucket: b", "app.db"), "app.db/");
}

TEST_F(S3SettingsTest, TheEnvironmentHasItsSay) {
  environment_["AWS_CA_BUNDLE"] = "/env/ca.pem";
  environment_["LITESTREAM_S3_ENDPOINT"] = "127.0.0.1:7";
  EXPECT_EQ(Shown("url: \"s3://b/p\""),
            "b|p/||http://127.0.0.1:7|-1|0|0||||8388608|4|0|/env/ca.pem");
  environment_["AWS_ENDPOINT_URL_S3"] = "https://storage.example";
  EXPECT_EQ(Shown("url: \"s3://b/p\", ca-file: /mine"),
            "b|p/||https://storage.example|-1|0|0||||8388608|4|0|/mine");
  EXPECT_EQ(Shown("url: \"s3://b/p?endpoint=127.0.0.1:9\", ca-file: /mine"),
            "b|p/||http://127.0.0.1:9|-1|0|0||||8388608|4|0|/mine");
}

TEST_F(S3SettingsTest, RefusesWhatCannotBe) {
  const std::pair<const char*, const char*> cases[] = {
      {"type: s3", "needs a url"},
      {"url: \"s3://b/p\", path: q", "exclude each other"},
      {"url: \"s3://b/p\", bucket: c", "exclude each other"},
      {"url: \"s3://b/p\", access-key-id: A", "go together"},
      {"url: \"s3://b/p\", sse-kms-key-id: k, sse-customer-key: x", "exclude each other"},
      {"url: \"s3://b/p\", part-size: 1MiB", "part-size"},
      {"url: \"s3://b/p\", concurrency: 0", "concurrency"},
      {"url: \"s3://b/p\", sse-customer-key: short", "32 random bytes"},
      {"url: \"s3://b/p\", sse-customer-algorithm: DES", "AES256"},
      {"url: \"s3://b/p\", sse-customer-key-path: /none", "/none"},
      {"url: \"s3://b/p?endpont=x\"", "endpont"},
      {"url: \"s3://b/p\", endpoint: \"ftp://x\"", "endpoint"},
      {"url: \"s3://b/p\", endpoint: \"http://example.com\", sse-customer-key: "
       "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
       "https"},
  };
  for (const auto& [replica, message] : cases) {
    EXPECT_THAT(ErrorOf(replica), HasSubstr(message)) << replica;
  }
}

TEST_F(S3SettingsTest, OpensWithoutARequest) {
  NullLogger log;
  S3Stores stores(process_, log);
  ASSERT_OK_AND_ASSIGN(const OpenedS3 opened,
                       stores.Open(ReplicaOf("url: \"s3://b/p?endpoint=127.0.0.1:1\""), "app.db"));
  EXPECT_EQ(opened.store->kind(), "s3");
  EXPECT_EQ(opened.store->location(), "s3://b/p/app.db?endpoint=http://127.0.0.1:1");
  opened.stop();
  Bytes out(1);
  EXPECT_FALSE(opened.store->ReadAt(store::ObjectKey("k"), 0, out));
}

}  // namespace
}  // namespace runnel::cli
