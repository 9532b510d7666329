#include "store/s3/xml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/seeded_random.h"

namespace runnel::store::s3 {
namespace {

constexpr std::string_view kList =
    R"(<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>
<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
<NextContinuationToken>a+b=</NextContinuationToken>
<Contents><Key>a+b%2Bc%20d/%C3%BC</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified>
<ETag>&quot;fba9dede5f27731c9771645a39863328&quot;</ETag><Size>434234</Size></Contents>
<Contents><Key>z</Key><LastModified>x</LastModified><ETag>"e"</ETag><Size>0</Size></Contents>
<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></ListBucketResult>)";

TEST(XmlTest, ReadsAList) {
  const auto list = ParseList(AsBytes(kList));
  ASSERT_TRUE(list);
  EXPECT_TRUE(list->is_truncated);
  EXPECT_EQ(list->next_token, "a+b=");
  ASSERT_EQ(list->objects.size(), 2U);
  EXPECT_EQ(list->objects[0].key, "a b+c d/ü");
  EXPECT_EQ(list->objects[0].size_bytes, 434'234U);
  EXPECT_EQ(list->objects[0].etag, "fba9dede5f27731c9771645a39863328");
  EXPECT_EQ(list->objects[0].last_modified, "2009-10-12T17:50:30.000Z");
  EXPECT_EQ(list->objects[1].etag, "e");
}

TEST(XmlTest, KeysAreTakenAsTheyAreUnlessTheListSaysOtherwise) {
  const auto list =
      ParseList(AsBytes("<ListBucketResult><Contents><Key>a+%20&amp;</Key><Size>1</Size></"
                        "Contents></ListBucketResult>"));
  ASSERT_TRUE(list);
  EXPECT_EQ(list->objects[0].key, "a+%20&");
}

TEST(XmlTest, AListIsReadWholeOrNotAtAll) {
  for (std::size_t size = 0; size < kList.size(); ++size) {
    EXPECT_FALSE(ParseList(AsBytes(kList.substr(0, size)))) << size;
  }
  EXPECT_FALSE(ParseList(AsBytes(
      "<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>")));
  EXPECT_FALSE(
      ParseList(AsBytes("<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>")));
}

TEST(XmlTest, NoiseIsReadOrRefusedButNothingElse) {
  testing::SeededRandom random(11);
  for (int round = 0; round < 3000; ++round) {
    std::string text(kList);
    for (int i = 0; i < 3; ++i)
      text[random.Below(text.size())] = static_cast<char>(random.Below(256));
    (void)ParseList(AsBytes(text));
    (void)ParseError(AsBytes(text));
  }
}

TEST(XmlTest, ReadsErrorsOfS3AndOfSts) {
  const auto s3 = ParseError(AsBytes(
      R"(<?xml version="1.0"?><Error><Code>AuthorizationHeaderMalformed</Code>
         <Message>the region is wrong &lt;x&gt;</Message><Region>eu-west-1</Region>
         <RequestId>R</RequestId></Error>)"));
  ASSERT_TRUE(s3);
  EXPECT_EQ(s3->code, "AuthorizationHeaderMalformed");
  EXPECT_EQ(s3->message, "the region is wrong <x>");
  EXPECT_EQ(s3->region, "eu-west-1");
  EXPECT_EQ(s3->request_id, "R");
  const auto sts = ParseError(AsBytes(
      R"(<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
         <Code>ExpiredTokenException</Code><Message>m</Message></Error><RequestId>S</RequestId>
         </ErrorResponse>)"));
  ASSERT_TRUE(sts);
  EXPECT_EQ(sts->code, "ExpiredTokenException");
  EXPECT_EQ(sts->request_id, "S");
  EXPECT_FALSE(ParseError(AsBytes("<html>Bad gateway</html>")));
  EXPECT_FALSE(ParseError({}));
}

TEST(XmlTest, ReadsWhatAnUploadSays) {
  EXPECT_EQ(ParseUploadId(AsBytes("<InitiateMultipartUploadResult><UploadId>a+/=</UploadId>"
                                  "</InitiateMultipartUploadResult>")),
            "a+/=");
  EXPECT_FALSE(ParseUploadId(AsBytes("<InitiateMultipartUploadResult/>")));
  // Blanks come while a store is still at work.
  EXPECT_EQ(
      ParseCompletedEtag(AsBytes(
          "\n  \n<?xml version=\"1.0\"?><CompleteMultipartUploadResult><ETag>&quot;e-2&quot;</ETag>"
          "</CompleteMultipartUploadResult>")),
      "e-2");
  EXPECT_FALSE(ParseCompletedEtag(AsBytes("<Error><Code>InternalError</Code></Error>")));
}

TEST(XmlTest, WritesWhatXmlWouldTakeForMarkup) {
  const std::vector<std::string> keys = {"a&b<c>\"d\"'ü"};
  EXPECT_EQ(MakeDelete(keys),
            "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Object>"
            "<Key>a&amp;b&lt;c&gt;\"d\"'ü</Key></Object></Delete>");
  const std::vector<std::string> etags = {"e1", "e2"};
  EXPECT_EQ(MakeComplete(etags),
            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
            "<Part><PartNumber>1</PartNumber><ETag>\"e1\"</ETag></Part>"
            "<Part><PartNumber>2</PartNumber><ETag>\"e2\"</ETag></Part>"
            "</CompleteMultipartUpload>");
  EXPECT_TRUE(FitsXml("a b/ü"));
  EXPECT_FALSE(FitsXml("a\nb"));
}

TEST(XmlTest, ReadsADeletion) {
  const auto result = ParseDelete(AsBytes(
      "<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>AccessDenied</Code>"
      "<Message>m</Message></Error></DeleteResult>"));
  ASSERT_TRUE(result);
  EXPECT_THAT(result->deleted, ::testing::ElementsAre("a"));
  ASSERT_EQ(result->failed.size(), 1U);
  EXPECT_EQ(result->failed[0].code, "AccessDenied");
}

TEST(XmlTest, ReadsCredentialsOfSts) {
  const auto credentials = ParseSts(AsBytes(
      R"(<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
         <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>A</AccessKeyId>
         <SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken>
         <Expiration>2030-01-01T00:00:00Z</Expiration></Credentials>
         </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>)"));
  ASSERT_TRUE(credentials);
  EXPECT_EQ(credentials->access_key_id, "A");
  EXPECT_EQ(credentials->session_token, "T");
  EXPECT_FALSE(ParseSts(AsBytes("<AssumeRoleResponse/>")));
}

}  // namespace
}  // namespace runnel::store::s3
