#include "store/s3/endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/result_matchers.h"

namespace runnel::store::s3 {
namespace {

Settings Of(std::string bucket, std::string endpoint = "") {
  Settings settings;
  settings.bucket = std::move(bucket);
  settings.endpoint = std::move(endpoint);
  return settings;
}

// "https://host/path of the key k"
std::string Url(const Settings& settings, const std::string& region = "eu-west-1") {
  auto endpoint = ResolveEndpoint(settings, region);
  if (!endpoint) return std::string(ErrcName(endpoint.error().code()));
  return endpoint->scheme + "://" + endpoint->authority + endpoint->PathOf("a b/k");
}

TEST(EndpointTest, AwsHasABucketInTheHost) {
  EXPECT_EQ(Url(Of("data")), "https://data.s3.eu-west-1.amazonaws.com/a%20b/k");
  EXPECT_EQ(Url(Of("data"), "cn-north-1"), "https://data.s3.cn-north-1.amazonaws.com.cn/a%20b/k");
}

TEST(EndpointTest, ABucketThatNoCertificateCoversIsInThePath) {
  EXPECT_EQ(Url(Of("my.data")), "https://s3.eu-west-1.amazonaws.com/my.data/a%20b/k");
  EXPECT_EQ(Url(Of("Old_Bucket")), "https://s3.eu-west-1.amazonaws.com/Old_Bucket/a%20b/k");
}

TEST(EndpointTest, OtherEndpointsHaveItInThePathUnlessTold) {
  Settings settings = Of("data", "http://127.0.0.1:9000");
  EXPECT_EQ(Url(settings), "http://127.0.0.1:9000/data/a%20b/k");
  settings.addressing = Addressing::kVirtualHost;
  EXPECT_EQ(Url(settings), "http://data.127.0.0.1:9000/a%20b/k");
  EXPECT_EQ(Url(Of("data", "https://host/storage/v1/s3/")),
            "https://host/storage/v1/s3/data/a%20b/k");
}

TEST(EndpointTest, AnEndpointWithoutASchemeIsSecureUnlessItIsNear) {
  EXPECT_EQ(Url(Of("data", "storage.example.com")), "https://storage.example.com/data/a%20b/k");
  for (const std::string host : {"localhost:9000", "127.0.0.1", "10.1.2.3:80", "192.168.0.1",
                                 "172.16.0.1", "172.31.255.1", "[::1]:9000"}) {
    EXPECT_EQ(WithScheme(host), "http://" + host);
  }
  for (const std::string host : {"172.32.0.1", "11.0.0.1", "192.169.0.1", "10.example.com"}) {
    EXPECT_EQ(WithScheme(host), "https://" + host);
  }
}

TEST(EndpointTest, AccessPointsHaveHostsOfTheirOwn) {
  const std::string host = "https://mine-123456789012.s3-accesspoint.us-west-2.amazonaws.com";
  EXPECT_EQ(Url(Of("arn:aws:s3:us-west-2:123456789012:accesspoint/mine")), host + "/a%20b/k");
  EXPECT_EQ(Url(Of("arn:aws:s3:us-west-2:123456789012:accesspoint:mine")), host + "/a%20b/k");
  EXPECT_EQ(RegionOfArn("arn:aws:s3:us-west-2:123456789012:accesspoint/mine"), "us-west-2");
  EXPECT_EQ(RegionOfArn("data"), "");
}

TEST(EndpointTest, RefusesWhatItCannotReach) {
  EXPECT_EQ(Url(Of("arn:aws:s3::123456789012:accesspoint/mine.mrap")), "unsupported");
  EXPECT_EQ(Url(Of("arn:aws:s3-object-lambda:us-west-2:1:accesspoint/mine")), "unsupported");
  EXPECT_EQ(Url(Of("arn:aws:s3:us-west-2:1:bucket/mine")), "unsupported");
  EXPECT_EQ(Url(Of("arn:aws:s3:us-west-2:1:accesspoint/mine", "https://x")), "invalid_argument");
  for (const char* bucket : {"", "a/b", "a?b", "evil@host", "a b"}) {
    EXPECT_EQ(Url(Of(bucket)), "invalid_argument") << bucket;
  }
  for (const char* endpoint : {"ftp://host", "https://", "https://host?x=y", "https://u:p@host"}) {
    EXPECT_EQ(Url(Of("data", endpoint)), "invalid_argument") << endpoint;
  }
}

TEST(EndpointTest, ShowsNoPasswordOfAnEndpoint) {
  auto endpoint = ResolveEndpoint(Of("data", "https://user:hunter2@host"), "x");
  EXPECT_THAT(endpoint.error().message(), ::testing::Not(::testing::HasSubstr("hunter2")));
}

TEST(EndpointTest, KnowsProvidersByTheirHosts) {
  const auto applied = [](const std::string& endpoint) {
    Settings settings = Of("data", endpoint);
    ApplyProvider(settings);
    return settings;
  };
  for (const char* host : {"https://fly.storage.tigris.dev", "https://t3.storage.dev"}) {
    const Settings tigris = applied(host);
    ASSERT_EQ(tigris.extra_headers.size(), 1U);
    EXPECT_EQ(tigris.extra_headers[0].name, "x-tigris-consistent");
    EXPECT_EQ(tigris.delete_checksum, DeleteChecksum::kNone);
  }
  const Settings r2 = applied("https://abc.r2.cloudflarestorage.com");
  EXPECT_EQ(r2.part_sizes, PartSizes::kEqual);
  EXPECT_EQ(r2.parts_in_flight, 2U);
  EXPECT_EQ(Url(applied("https://fra1.digitaloceanspaces.com")),
            "https://data.fra1.digitaloceanspaces.com/a%20b/k");
  EXPECT_EQ(Url(applied("https://s3.us-west-000.backblazeb2.com")),
            "https://s3.us-west-000.backblazeb2.com/data/a%20b/k");
  Settings told = Of("data", "https://fra1.digitaloceanspaces.com");
  told.addressing = Addressing::kPath;
  ApplyProvider(told);
  EXPECT_EQ(Url(told), "https://fra1.digitaloceanspaces.com/data/a%20b/k");
}

}  // namespace
}  // namespace runnel::store::s3
