// The signatures are those that AWS publishes: its Signature Version 4 test suite, and the examples
// of "Authenticating Requests: Using the Authorization Header" of S3.

#include "store/s3/signer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http/uri.h"
#include "store/s3/digest.h"

namespace runnel::store::s3 {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

constexpr std::string_view kEmptyHash =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const Credentials kSuite{.access_key_id = "AKIDEXAMPLE",
                         .secret_access_key = Redacted("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")};
const SigningScope kSuiteScope{.region = "us-east-1", .service = "service"};

WallTime At(std::chrono::year_month_day day, std::chrono::seconds time) {
  return std::chrono::sys_days(day) + time;
}

WallTime SuiteTime() {
  using namespace std::chrono_literals;
  return At(std::chrono::year(2015) / 8 / 30, 12h + 36min);
}

struct SuiteCase {
  const char* name;
  const char* method = "GET";
  const char* path = "/";
  http::Query query = {};
  http::Headers headers = {};
  const char* signature;
};

std::string SignSuite(const SuiteCase& test) {
  http::Headers headers = test.headers;
  headers.push_back({.name = "host", .value = "example.amazonaws.com"});
  headers.push_back({.name = "x-amz-date", .value = FormatAmzDate(SuiteTime())});
  const std::string path = http::PercentEncode(test.path, http::Slash::kKeep);
  const std::string query = http::EncodeQuery(test.query);
  return Authorization({.method = test.method,
                        .path = path,
                        .query = query,
                        .headers = headers,
                        .payload_hash = kEmptyHash},
                       kSuite, kSuiteScope, SuiteTime());
}

TEST(SignerTest, SignsAsTheSuiteOfAws) {
  const SuiteCase cases[] = {
      {.name = "get-vanilla",
       .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
      {.name = "post-vanilla",
       .method = "POST",
       .signature = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
      {.name = "get-vanilla-query-order-key-case",
       .query = {{"Param2", "value2"}, {"Param1", "value1"}},
       .signature = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
      {.name = "get-utf8",
       .path = "/ሴ",
       .signature = "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
      {.name = "get-vanilla-utf8-query",
       .query = {{"ሴ", "bar"}},
       .signature = "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
      {.name = "get-unreserved",
       .path = "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
       .signature = "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
      {.name = "get-space-unnormalized",
       .path = "/example space/",
       .signature = "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
      {.name = "post-header-key-sort",
       .method = "POST",
       .headers = {{.name = "my-header1", .value = "value1"}},
       .signature = "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
      {.name = "post-header-value-case",
       .method = "POST",
       .headers = {{.name = "my-header1", .value = "VALUE1"}},
       .signature = "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
      {.name = "get-header-value-trim",
       .headers = {{.name = "my-header2", .value = " \"a   b   c\""},
                   {.name = "my-header1", .value = " value1"}},
       .signature = "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
      {.name = "post-sts-header-before",
       .method = "POST",
       .headers = {{.name = "x-amz-security-token",
                    .value =
                        "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWH"
                        "GBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC"
                        "1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQ"
                        "cHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fP"
                        "OLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="}},
       .signature = "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
  };
  for (const SuiteCase& test : cases) {
    EXPECT_THAT(SignSuite(test), EndsWith(std::string("Signature=") + test.signature)) << test.name;
  }
}

TEST(SignerTest, NamesTheScopeAndWhatIsSigned) {
  EXPECT_EQ(SignSuite({.name = "get-vanilla", .signature = ""}),
            "AWS4-HMAC-SHA256 "
            "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
            "SignedHeaders=host;x-amz-date, "
            "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

// The examples of S3, all with the same keys at the same time.
std::string SignS3(std::string_view method, std::string_view path, const http::Query& query,
                   http::Headers headers, std::string_view payload_hash) {
  const WallTime time = At(std::chrono::year(2013) / 5 / 24, std::chrono::seconds(0));
  headers.push_back({.name = "host", .value = "examplebucket.s3.amazonaws.com"});
  headers.push_back({.name = "x-amz-content-sha256", .value = std::string(payload_hash)});
  headers.push_back({.name = "x-amz-date", .value = FormatAmzDate(time)});
  const std::string encoded_path = http::PercentEncode(path, http::Slash::kKeep);
  const std::string encoded_query = http::EncodeQuery(query);
  return Authorization({.method = method,
                        .path = encoded_path,
                        .query = encoded_query,
                        .headers = headers,
                        .payload_hash = payload_hash},
                       {.access_key_id = "AKIAIOSFODNN7EXAMPLE",
                        .secret_access_key = Redacted("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")},
                       {.region = "us-east-1"}, time);
}

TEST(SignerTest, SignsTheExamplesOfS3) {
  EXPECT_THAT(SignS3("GET", "/test.txt", {}, {{.name = "range", .value = "bytes=0-9"}}, kEmptyHash),
              HasSubstr("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"));
  const std::string body_hash = Hex(Sha256(AsBytes("Welcome to Amazon S3.")));
  EXPECT_EQ(body_hash, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
  EXPECT_THAT(SignS3("PUT", "/test$file.text", {},
                     {{.name = "date", .value = "Fri, 24 May 2013 00:00:00 GMT"},
                      {.name = "x-amz-storage-class", .value = "REDUCED_REDUNDANCY"}},
                     body_hash),
              HasSubstr("98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
  EXPECT_THAT(SignS3("GET", "/", {{"lifecycle", ""}}, {}, kEmptyHash),
              HasSubstr("fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
  EXPECT_THAT(SignS3("GET", "/", {{"prefix", "J"}, {"max-keys", "2"}}, {}, kEmptyHash),
              HasSubstr("34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

TEST(SignerTest, AnUnsignedPayloadIsPartOfTheSignature) {
  EXPECT_NE(SignS3("PUT", "/k", {}, {}, kUnsignedPayload), SignS3("PUT", "/k", {}, {}, kEmptyHash));
}

TEST(SignerTest, WritesTimesInUtcToTheSecond) {
  using namespace std::chrono_literals;
  EXPECT_EQ(FormatAmzDate(WallTime(0ms)), "19700101T000000Z");
  EXPECT_EQ(FormatAmzDate(WallTime(1'709'164'800'999ms)), "20240229T000000Z");
}

TEST(DigestTest, Base64GoesBothWays) {
  for (const std::string text : {"", "f", "fo", "foo", "foob", "fooba", "foobar"}) {
    const std::string encoded = Base64(AsBytes(text));
    const auto decoded = Base64Decode(encoded);
    ASSERT_TRUE(decoded) << encoded;
    EXPECT_EQ(AsText(*decoded), text);
  }
  EXPECT_EQ(Base64(AsBytes("fooba")), "Zm9vYmE=");
  EXPECT_FALSE(Base64Decode("Zm9"));
  EXPECT_FALSE(Base64Decode("Zm9!"));
}

TEST(DigestTest, HmacIsThatOfRfc4231) {
  EXPECT_EQ(Hex(HmacSha256(AsBytes("Jefe"), AsBytes("what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(Hex(Md5(AsBytes("abc"))), "900150983cd24fb0d6963f7d28e17f72");
}

}  // namespace
}  // namespace runnel::store::s3
