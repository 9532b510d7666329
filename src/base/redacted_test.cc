#include "base/redacted.h"

#include <gtest/gtest.h>

#include <sstream>

namespace runnel {
namespace {

TEST(RedactedTest, ShowsItselfNowhere) {
  const Redacted secret("hunter2");
  std::ostringstream stream;
  stream << secret;
  EXPECT_EQ(stream.str(), "***");
  EXPECT_EQ(fmt::format("key={}", secret), "key=***");
  EXPECT_EQ(::testing::PrintToString(secret), "***");
  EXPECT_EQ(secret.Reveal(), "hunter2");
  EXPECT_FALSE((std::is_convertible_v<Redacted, std::string>));
}

TEST(RedactUrlTest, LeavesWhatHoldsNoSecret) {
  for (const char* url :
       {"/var/lib/app.db", "file:///backup/app", "s3://bucket/path/to@file", "", "a@b/c",
        "s3://bucket.localhost:9000/db?endpoint=minio:9000&region=eu-1&forcePathStyle=true",
        "sftp://host:22/path@2024", "nats://[::1]:4222/bucket"}) {
    EXPECT_EQ(RedactUrl(url), url);
  }
}

TEST(RedactUrlTest, HidesUserAndPassword) {
  EXPECT_EQ(RedactUrl("sftp://user:pw@host:22/path"), "sftp://***@host:22/path");
  EXPECT_EQ(RedactUrl("sftp://user@host/path"), "sftp://***@host/path");
  EXPECT_EQ(RedactUrl("abs://account:key==@container/db"), "abs://***@container/db");
  EXPECT_EQ(RedactUrl("user:pw@host:path"), "***@host:path");
}

TEST(RedactUrlTest, HidesPasswordsThatShouldHaveBeenEncoded) {
  EXPECT_EQ(RedactUrl("sftp://user:p@ss@host/path"), "sftp://***@host/path");
  EXPECT_EQ(RedactUrl("sftp://user:pa/ss@host/path"), "sftp://***@host/path");
  EXPECT_EQ(RedactUrl("sftp://user:pa?ss@host/path"), "sftp://***@host/path");
  EXPECT_EQ(RedactUrl("sftp://user:pa#ss@host/path"), "sftp://***@host/path");
}

TEST(RedactUrlTest, HidesQueryValuesThatAreNotKnownToBeHarmless) {
  EXPECT_EQ(RedactUrl("s3://b/p?region=eu&sseCustomerKey=abc&x-amz-signature=def"),
            "s3://b/p?region=eu&sseCustomerKey=***&x-amz-signature=***");
  EXPECT_EQ(RedactUrl("s3://b/p?token"), "s3://b/p?***");
  EXPECT_EQ(RedactUrl("s3://b/p?region=eu#secret"), "s3://b/p?region=eu#***");
  EXPECT_EQ(RedactUrl("s3://b/p?endpoint=https://u:pw@host"), "s3://b/p?endpoint=***");
  EXPECT_EQ(RedactUrl("s3://b/p?endpoint=https%3A%2F%2Fu%3Apw%40host"), "s3://b/p?endpoint=***");
}

}  // namespace
}  // namespace runnel
