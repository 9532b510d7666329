#include "http/uri.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace runnel::http {
namespace {

TEST(UriTest, EncodesAllButTheUnreserved) {
  EXPECT_EQ(PercentEncode("AZaz09-._~"), "AZaz09-._~");
  EXPECT_EQ(PercentEncode("a b/c+%*ü"), "a%20b%2Fc%2B%25%2A%C3%BC");
  EXPECT_EQ(PercentEncode("/a b/", Slash::kKeep), "/a%20b/");
  EXPECT_EQ(PercentEncode(std::string_view("\0\xff", 2)), "%00%FF");
}

TEST(UriTest, DecodesWhatItEncoded) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  EXPECT_EQ(PercentDecode(PercentEncode(all)), all);
  EXPECT_EQ(PercentDecode("a+b%2f"), "a+b/");
  for (const char* bad : {"%", "%1", "%g0", "%0g", "a%2", "% 1", "%+1", "%-1"}) {
    EXPECT_FALSE(PercentDecode(bad)) << bad;
  }
}

TEST(UriTest, SortsAQueryByWhatIsSent) {
  EXPECT_EQ(EncodeQuery({{"prefix", "a b/"}, {"list-type", "2"}, {"uploads", ""}}),
            "list-type=2&prefix=a%20b%2F&uploads=");
  // '%' sorts before letters, 'ü' as itself after them.
  EXPECT_EQ(EncodeQuery({{"z", "1"}, {"ü", "2"}}), "%C3%BC=2&z=1");
  EXPECT_EQ(EncodeQuery({}), "");
}

TEST(UriTest, ReadsAQuery) {
  EXPECT_EQ(ParseQuery("b=x%20y&a=1&c&=d"),
            (Query{{"b", "x y"}, {"a", "1"}, {"c", ""}, {"", "d"}}));
  EXPECT_EQ(ParseQuery(""), Query{});
  EXPECT_FALSE(ParseQuery("a=%x"));
}

TEST(UriTest, TakesUrlsApart) {
  const auto url = ParseUrl("HTTPS://host.example:8443/a/b?c=d&e#f");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->scheme, "https");
  EXPECT_EQ(url->authority, "host.example:8443");
  EXPECT_EQ(url->host(), "host.example");
  EXPECT_EQ(url->path, "/a/b");
  EXPECT_EQ(url->query, "c=d&e");
  EXPECT_EQ(ParseUrl("http://[::1]:9000")->host(), "::1");
  EXPECT_EQ(ParseUrl("s3://bucket?x=y")->query, "x=y");
  EXPECT_EQ(ParseUrl("s3://bucket")->path, "");
  EXPECT_FALSE(ParseUrl("bucket/key"));
  EXPECT_FALSE(ParseUrl("://x"));
  EXPECT_FALSE(ParseUrl("https://user:password@host/"));
}

}  // namespace
}  // namespace runnel::http
