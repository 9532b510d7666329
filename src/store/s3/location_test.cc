#include "store/s3/location.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/result_matchers.h"

namespace runnel::store::s3 {
namespace {

// "bucket prefix endpoint region"; "-" for what is empty.
std::string Parsed(std::string_view url) {
  const auto settings = ParseS3Url(url);
  if (!settings) return std::string(ErrcName(settings.error().code()));
  const auto shown = [](const std::string& text) { return text.empty() ? "-" : text; };
  return fmt::format("{} {} {} {}", shown(settings->bucket), shown(settings->key_prefix),
                     shown(settings->endpoint), shown(settings->region));
}

TEST(S3UrlTest, KeysBeginAsLitestreamsDo) {
  EXPECT_EQ(Parsed("s3://b/my/db"), "b my/db/ - -");
  EXPECT_EQ(Parsed("s3://b/my//x/../db/"), "b my/db/ - -");
  EXPECT_EQ(Parsed("s3://b"), "b ./ - -");
  EXPECT_EQ(Parsed("s3://b/"), "b / - -");
  EXPECT_EQ(Parsed("s3://b/a%20b/c"), "b a b/c/ - -");
}

TEST(S3UrlTest, KnowsHostsOfProviders) {
  EXPECT_EQ(Parsed("s3://b.s3.amazonaws.com/db"), "b db/ - -");
  EXPECT_EQ(Parsed("s3://b.s3.eu-west-1.amazonaws.com/db"), "b db/ - eu-west-1");
  EXPECT_EQ(Parsed("s3://b.c.s3-us-west-2.amazonaws.com/db"), "b.c db/ - us-west-2");
  EXPECT_EQ(Parsed("s3://b.fra1.digitaloceanspaces.com/db"),
            "b db/ https://fra1.digitaloceanspaces.com fra1");
  EXPECT_EQ(Parsed("s3://b.s3.us-west-000.backblazeb2.com/db"),
            "b db/ https://s3.us-west-000.backblazeb2.com us-west-000");
  EXPECT_EQ(Parsed("s3://b.s3.nl-ams.scw.cloud/db"), "b db/ https://s3.nl-ams.scw.cloud nl-ams");
  EXPECT_EQ(Parsed("s3://b.s3.filebase.com/db"), "b db/ https://s3.filebase.com -");
}

TEST(S3UrlTest, AServerOfOnesOwnHasAPort) {
  EXPECT_EQ(Parsed("s3://b.localhost:9000/db"), "b db/ http://localhost:9000 -");
  EXPECT_EQ(Parsed("s3://b.127.0.0.1:9000/db"), "b db/ http://127.0.0.1:9000 -");
  EXPECT_EQ(Parsed("s3://localhost:9000/db"), "invalid_argument");
}

TEST(S3UrlTest, KnowsAccessPoints) {
  EXPECT_EQ(Parsed("s3://arn:aws:s3:us-west-2:1:accesspoint/mine/my/db"),
            "arn:aws:s3:us-west-2:1:accesspoint/mine my/db/ - -");
  EXPECT_EQ(Parsed("s3://arn:aws:s3:us-west-2:1:accesspoint/mine"),
            "arn:aws:s3:us-west-2:1:accesspoint/mine ./ - -");
}

TEST(S3UrlTest, TakesParametersInBothSpellings) {
  for (const char* query :
       {"endpoint=localhost:9000&region=r&forcePathStyle=false&skipVerify=true&signPayload=false&"
        "requireContentMD5=false&storageClass=IA&partSize=6000000&concurrency=2&sseKmsKeyId=k",
        "endpoint=localhost:9000&region=r&force-path-style=false&skip-verify=true&"
        "sign-payload=false&require-content-md5=false&storage-class=IA&part-size=6000000&"
        "concurrency=2&sse-kms-key-id=k"}) {
    ASSERT_OK_AND_ASSIGN(const Settings settings, ParseS3Url(std::string("s3://b/db?") + query));
    EXPECT_EQ(settings.endpoint, "http://localhost:9000");
    EXPECT_EQ(settings.region, "r");
    EXPECT_EQ(settings.addressing, Addressing::kVirtualHost);
    EXPECT_EQ(settings.transport.peer_check, http::PeerCheck::kSkip);
    EXPECT_EQ(settings.payload_signing, PayloadSigning::kUnsigned);
    EXPECT_EQ(settings.delete_checksum, DeleteChecksum::kNone);
    EXPECT_EQ(settings.storage_class, "IA");
    EXPECT_EQ(settings.part_size_bytes, 6'000'000U);
    EXPECT_EQ(settings.parts_in_flight, 2U);
    EXPECT_EQ(settings.kms_key_id, "k");
  }
  ASSERT_OK_AND_ASSIGN(
      const Settings encrypted,
      ParseS3Url("s3://b/db?sseCustomerKey=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE%3D&"
                 "sseCustomerAlgorithm=AES256&sseCustomerKeyMD5=ignored"));
  EXPECT_TRUE(encrypted.customer_key);
}

TEST(S3UrlTest, FlysFormIsKnown) {
  EXPECT_EQ(Parsed("s3://b/db?endpoint=fly.storage.tigris.dev&region=auto"),
            "b db/ https://fly.storage.tigris.dev auto");
}

TEST(S3UrlTest, RefusesWhatItDoesNotKnow) {
  for (const char* url :
       {"s3://", "s3:///db", "s3://b/db?endpont=x", "s3://b/db?part-size=5",
        "s3://b/db?part-size=x", "s3://b/db?concurrency=0", "s3://b/db?skip-verify=maybe",
        "s3://b/db?region=%x", "s3://key:secret@b/db", "s3://b/db?sse-customer-key=x",
        "s3://b/db?sse-customer-algorithm=ROT13", "gs://b/db"}) {
    EXPECT_EQ(Parsed(url), "invalid_argument") << url;
  }
  const auto settings = ParseS3Url("s3://key:hunter2@b/db");
  EXPECT_THAT(settings.error().message(), ::testing::Not(::testing::HasSubstr("hunter2")));
}

}  // namespace
}  // namespace runnel::store::s3
