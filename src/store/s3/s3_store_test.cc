// What the s3 store does beyond the promises of every store: against a fake that misbehaves.

#include "store/s3/s3_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/s3/testing.h"
#include "testing/result_matchers.h"

namespace runnel::store::s3 {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::FakeS3Options;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::S3Fault;
using ::testing::UnorderedElementsAre;
using Kind = S3Fault::Kind;

// Small parts, so that an object in parts is quick.
constexpr std::size_t kPart = 100;

class S3StoreTest : public ::testing::Test {
 protected:
  FakeWorld& World(FakeS3Options options = {}) {
    options.part_size_min = kPart;
    world_.emplace(std::move(options));
    return *world_;
  }

  std::unique_ptr<S3Store> MakeStore() {
    Settings settings = world_->MakeSettings();
    settings.part_size_bytes = kPart;
    return world_->MakeStore(std::move(settings));
  }

  static Result<ObjectInfo> Put(ObjectStore& store, const std::string& key, std::string_view body,
                                PutCondition condition = PutCondition::None()) {
    return PutObject(store, ObjectKey(key), AsBytes(body), {.condition = std::move(condition)});
  }

  static std::string Get(ObjectStore& store, const std::string& key) {
    auto body = ReadObject(store, ObjectKey(key), 1 << 20);
    return body ? std::string(AsText(*body)) : body.error().message();
  }

  std::optional<FakeWorld> world_;
};

TEST_F(S3StoreTest, PutsAnObjectWithOneRequest) {
  auto& world = World();
  auto store = MakeStore();
  const WallTime time{std::chrono::milliseconds(1'755'615'194'120)};
  ASSERT_OK(PutObject(*store, ObjectKey("0000/a.ltx"), AsBytes("body"), {.timestamp = time}));
  EXPECT_THAT(world.server.operations(), ElementsAre("PutObject"));
  EXPECT_THAT(world.server.keys(), ElementsAre("replicas/app/0000/a.ltx"));
  // As Litestream has it.
  EXPECT_EQ(world.server.LastRequest("PutObject").header("x-amz-meta-litestream-timestamp"),
            "2025-08-19T14:53:14.12Z");
}

TEST_F(S3StoreTest, WhatFitsInAPartIsNoUploadInParts) {
  auto& world = World();
  auto store = MakeStore();
  ASSERT_OK(Put(*store, "k", std::string(kPart, 'x')));
  EXPECT_THAT(world.server.operations(), ElementsAre("PutObject"));
  world.server.ForgetOperations();
  ASSERT_OK(Put(*store, "k", std::string(kPart + 1, 'y')));
  EXPECT_THAT(world.server.operations(),
              UnorderedElementsAre("CreateMultipartUpload", "UploadPart", "UploadPart",
                                   "CompleteMultipartUpload"));
  EXPECT_EQ(Get(*store, "k"), std::string(kPart + 1, 'y'));
}

TEST_F(S3StoreTest, PartsComeTogetherInTheirOrder) {
  World();
  auto store = MakeStore();
  std::string body;
  for (int i = 0; i < 5000; ++i) body += std::to_string(i);
  ASSERT_OK_AND_ASSIGN(const auto put, Put(*store, "k", body));
  EXPECT_EQ(put.size_bytes, body.size());
  EXPECT_EQ(Get(*store, "k"), body);
  ASSERT_OK_AND_ASSIGN(const auto head, store->Head(ObjectKey("k")));
  EXPECT_EQ(head.etag, put.etag);
  EXPECT_EQ(head.timestamp, put.timestamp);
}

TEST_F(S3StoreTest, APartIsTriedAgain) {
  auto& world = World();
  auto store = MakeStore();
  world.server.FailAt("UploadPart", 2, {.kind = Kind::kRefuse});
  world.server.FailAt("UploadPart", 4, {.kind = Kind::kLoseReply});
  world.server.FailAt("CreateMultipartUpload", 1, {.kind = Kind::kDrop});
  const std::string body(10 * kPart, 'x');
  ASSERT_OK(Put(*store, "k", body));
  EXPECT_EQ(Get(*store, "k"), body);
  EXPECT_EQ(world.server.CountOf("UploadPart"), 12);
  EXPECT_EQ(world.server.open_uploads(), 0U);
}

TEST_F(S3StoreTest, AnUploadThatFailsIsAborted) {
  auto& world = World();
  auto store = MakeStore();
  world.server.FailAll("UploadPart",
                       {.kind = Kind::kRefuse, .status = 403, .code = "AccessDenied"});
  EXPECT_FAILS(Errc::kPermissionDenied, Put(*store, "k", std::string(10 * kPart, 'x')));
  EXPECT_THAT(world.server.operations(), Contains("AbortMultipartUpload"));
  EXPECT_EQ(world.server.open_uploads(), 0U);
  EXPECT_THAT(world.server.keys(), IsEmpty());
}

TEST_F(S3StoreTest, AnUploadThatIsDroppedIsAborted) {
  auto& world = World();
  auto store = MakeStore();
  {
    ASSERT_OK_AND_ASSIGN(auto writer, store->StartPut(ObjectKey("k"), {}));
    ASSERT_OK(writer->Append(AsBytes(std::string(5 * kPart, 'x'))));
    EXPECT_EQ(world.server.open_uploads(), 1U);
  }
  EXPECT_EQ(world.server.open_uploads(), 0U);
}

TEST_F(S3StoreTest, SaysWhenAnUploadCannotBeAborted) {
  auto& world = World();
  auto store = MakeStore();
  world.server.FailAll("AbortMultipartUpload", {.status = 403, .code = "AccessDenied"});
  {
    ASSERT_OK_AND_ASSIGN(auto writer, store->StartPut(ObjectKey("k"), {}));
    ASSERT_OK(writer->Append(AsBytes(std::string(5 * kPart, 'x'))));
  }
  EXPECT_TRUE(world.log.Contains("AbortIncompleteMultipartUpload", LogLevel::kWarn));
}

TEST_F(S3StoreTest, ACompletionWhoseReplyWasLostIsItsOwn) {
  auto& world = World();
  auto store = MakeStore();
  world.server.FailAt("CompleteMultipartUpload", 1, {.kind = Kind::kLoseReply});
  const std::string body(3 * kPart, 'x');
  ASSERT_OK_AND_ASSIGN(const auto put, Put(*store, "k", body));
  ASSERT_OK_AND_ASSIGN(const auto head, store->Head(ObjectKey("k")));
  EXPECT_EQ(put.etag, head.etag);
  EXPECT_EQ(world.server.CountOf("CompleteMultipartUpload"), 2);
}

TEST_F(S3StoreTest, ACompletionThatFailedWithSuccessIsTriedAgain) {
  auto& world = World();
  auto store = MakeStore();
  world.server.FailAt("CompleteMultipartUpload", 1,
                      {.kind = Kind::kLateError, .code = "InternalError"});
  ASSERT_OK(Put(*store, "k", std::string(3 * kPart, 'x')));
  EXPECT_EQ(world.server.CountOf("CompleteMultipartUpload"), 2);
}

TEST_F(S3StoreTest, AnotherWritersObjectIsNotTakenForOurUpload) {
  auto& world = World();
  auto store = MakeStore();
  world.server.FailAll("CompleteMultipartUpload", {.kind = Kind::kDrop});
  ASSERT_OK(Put(*store, "k", "somebody's"));
  EXPECT_FAILS(Errc::kUnavailable, Put(*store, "k", std::string(3 * kPart, 'x')));
  EXPECT_EQ(Get(*store, "k"), "somebody's");
}

TEST_F(S3StoreTest, AConditionHoldsForAnUploadInParts) {
  World();
  auto store = MakeStore();
  const std::string body(3 * kPart, 'x');
  ASSERT_OK(Put(*store, "k", body, PutCondition::IfAbsent()));
  EXPECT_FAILS(Errc::kAlreadyExists,
               Put(*store, "k", std::string(3 * kPart, 'y'), PutCondition::IfAbsent()));
  EXPECT_EQ(Get(*store, "k"), body);
  EXPECT_EQ(world_->server.open_uploads(), 0U);
}

TEST_F(S3StoreTest, FindsOutWhetherConditionsAreHeeded) {
  const std::pair<FakeS3Options::Conditions, bool> cases[] = {
      {FakeS3Options::Conditions::kHeeded, true},
      {FakeS3Options::Conditions::kIgnored, false},
      {FakeS3Options::Conditions::kNotImplemented, false}};
  for (const auto& [conditions, has_them] : cases) {
    auto& world = World({.conditions = conditions});
    auto store = MakeStore();
    for (int i = 0; i < 2; ++i) {
      auto put = Put(*store, "k" + std::to_string(i), "x", PutCondition::IfAbsent());
      EXPECT_EQ(put.has_value(), has_them);
      if (!put) EXPECT_EQ(put.error().code(), Errc::kUnsupported) << put.error().message();
    }
    EXPECT_EQ(store->capabilities().conditional_writes, has_them);
    EXPECT_EQ(world.log.Contains("no conditional writes", LogLevel::kWarn), !has_them);
    EXPECT_EQ(world.server.keys().size(), has_them                                            ? 3U
                                          : conditions == FakeS3Options::Conditions::kIgnored ? 1U
                                                                                              : 0U);
  }
}

TEST_F(S3StoreTest, AsksOnceForAllStoresOfABucket) {
  auto& world = World();
  auto facts = std::make_shared<BucketFacts>();
  const Environment environment{.http = world.client,
                                .credentials = world.credentials,
                                .clock = world.clock,
                                .random = world.random,
                                .log = world.log};
  S3Store first(world.MakeSettings(), environment, facts);
  S3Store second(world.MakeSettings(), environment, facts);
  ASSERT_OK(Put(first, "a", "x", PutCondition::IfAbsent()));
  world.server.ForgetOperations();
  ASSERT_OK(Put(second, "b", "x", PutCondition::IfAbsent()));
  EXPECT_THAT(world.server.operations(), ElementsAre("PutObject"));
}

// Ours would be to guess.
TEST_F(S3StoreTest, WhatCannotBeFoundOutIsNotGuessed) {
  auto& world = World();
  auto store = MakeStore();
  world.server.FailAll("PutObject", {.status = 503, .code = "SlowDown"});
  EXPECT_FAILS(Errc::kUnavailable, Put(*store, "k", "x", PutCondition::IfAbsent()));
  EXPECT_TRUE(store->capabilities().conditional_writes);
  world.server.StopFailing();
  EXPECT_OK(Put(*store, "k", "x", PutCondition::IfAbsent()));
}

TEST_F(S3StoreTest, AConflictOfTwoWritersIsNeitherWonNorLost) {
  auto& world = World();
  auto store = MakeStore();
  ASSERT_OK(Put(*store, "other", "x", PutCondition::IfAbsent()));  // now it has been found out
  world.server.FailAt("PutObject", 1, {.status = 409, .code = "ConditionalRequestConflict"});
  RetryingStore retrying(*store, {}, world.clock, world.random);
  ASSERT_OK(Put(retrying, "k", "x", PutCondition::IfAbsent()));
}

TEST_F(S3StoreTest, FindsTheRegion) {
  auto& world = World({.region = "eu-central-7"});
  auto store = MakeStore();
  ASSERT_OK(Put(*store, "k", "x"));
  EXPECT_EQ(world.server.CountOf("PutObject"), 2);
  world.server.ForgetOperations();
  ASSERT_OK(store->Head(ObjectKey("k")));
  EXPECT_THAT(world.server.operations(), ElementsAre("HeadObject"));
  // A redirect names it too, without a body.
  world.server.SetRegion("us-west-9");
  ASSERT_OK(store->Head(ObjectKey("k")));
}

TEST_F(S3StoreTest, AServerCannotSendUsToAHostOfItsChoice) {
  auto& world = World();
  auto store = MakeStore();
  world.server.FailAll("HeadObject",
                       {.status = 301,
                        .code = "PermanentRedirect",
                        .headers = {{.name = "x-amz-bucket-region", .value = "evil.com/"}}});
  EXPECT_FAILS(Errc::kInvalidArgument, store->Head(ObjectKey("k")));
  EXPECT_EQ(world.server.CountOf("HeadObject"), 1);
}

// The client and the fake have one clock in these tests; here they have two.
TEST_F(S3StoreTest, GoesByTheStoresClock) {
  auto& world = World();
  testing::ManualClock late;
  late.SetWallTime(world.clock.Now() - std::chrono::hours(3));
  S3Store store(world.MakeSettings(),
                {.http = world.client,
                 .credentials = world.credentials,
                 .clock = late,
                 .random = world.random,
                 .log = world.log},
                std::make_shared<BucketFacts>());
  // The answer to a HEAD does not say what is wrong.
  EXPECT_FAILS(Errc::kNotFound, store.Head(ObjectKey("k")));
  EXPECT_EQ(world.server.CountOf("HeadObject"), 2);
  ASSERT_OK(Put(store, "k", "y"));
  EXPECT_EQ(world.server.CountOf("PutObject"), 1);
  late.SetWallTime(world.clock.Now());
  ASSERT_OK(Put(store, "k", "z"));
  EXPECT_EQ(world.server.CountOf("PutObject"), 3);
}

// Gives the next of its credentials once one was rejected.
class SteppingCredentials final : public CredentialsSource {
 public:
  explicit SteppingCredentials(std::vector<std::string> tokens) : tokens_(std::move(tokens)) {}
  Result<Credentials> Get() override {
    return Credentials{.access_key_id = "AKIAFAKE",
                       .secret_access_key = Redacted("fake/secret+key"),
                       .session_token = Redacted(tokens_[next_])};
  }
  void Reject(const Credentials&) override {
    ++rejected;
    next_ = std::min(next_ + 1, tokens_.size() - 1);
  }
  int rejected = 0;

 private:
  const std::vector<std::string> tokens_;
  std::size_t next_ = 0;
};

TEST_F(S3StoreTest, RenewsATokenThatHasExpired) {
  auto& world = World({.session_token = "new token=="});
  SteppingCredentials credentials({"old token", "new token=="});
  S3Store store(world.MakeSettings(),
                {.http = world.client,
                 .credentials = credentials,
                 .clock = world.clock,
                 .random = world.random,
                 .log = world.log},
                std::make_shared<BucketFacts>());
  EXPECT_FAILS(Errc::kNotFound, store.Head(ObjectKey("k")));
  EXPECT_EQ(credentials.rejected, 1);
  world.server.SetSessionToken("a third");
  auto put = Put(store, "k", "x");
  ASSERT_FAILS(Errc::kPermissionDenied, put);
  EXPECT_THAT(put.error().message(), HasSubstr("the session token has expired"));
  EXPECT_THAT(put.error().message(), Not(HasSubstr("new token")));
}

TEST_F(S3StoreTest, ErrorsNameThePlaceTheCauseAndTheCure) {
  auto& world = World();
  const struct {
    int status;
    const char* code;
    Errc errc;
    const char* cure;
  } cases[] = {{403, "AccessDenied", Errc::kPermissionDenied, "s3:PutObject"},
               {403, "InvalidAccessKeyId", Errc::kPermissionDenied, "access-key-id"},
               {403, "SignatureDoesNotMatch", Errc::kPermissionDenied, "secret-access-key"},
               {404, "NoSuchBucket", Errc::kInvalidArgument, "make the bucket"},
               {503, "SlowDown", Errc::kUnavailable, ""},
               {500, "InternalError", Errc::kUnavailable, ""},
               {400, "RequestTimeout", Errc::kTimedOut, ""},
               {507, "XMinioStorageFull", Errc::kNoSpace, "make room"},
               {429, "Whatever", Errc::kUnavailable, ""},
               {418, "Teapot", Errc::kInvalidArgument, ""},
               {501, "NotImplemented", Errc::kUnsupported, ""}};
  auto store = MakeStore();
  for (const auto& test : cases) {
    world.server.FailAt("PutObject", 1, {.status = test.status, .code = test.code});
    auto put = Put(*store, "0000/k", "x");
    ASSERT_FAILS(test.errc, put) << test.code;
    EXPECT_THAT(put.error().message(), HasSubstr("bucket bucket at " + world.server.endpoint()));
    EXPECT_THAT(put.error().message(), HasSubstr("'replicas/app/0000/k'"));
    EXPECT_THAT(put.error().message(), HasSubstr(test.code));
    EXPECT_THAT(put.error().message(), HasSubstr(test.cure));
    EXPECT_THAT(put.error().message(), Not(HasSubstr("fake/secret+key")));
  }
}

TEST_F(S3StoreTest, AMissingBucketIsNoEmptyReplica) {
  auto& world = World();
  Settings settings = world.MakeSettings();
  settings.bucket = "another";
  auto store = world.MakeStore(settings);
  Bytes out(1);
  EXPECT_FAILS(Errc::kInvalidArgument, store->List("", std::nullopt, 10));
  EXPECT_FAILS(Errc::kInvalidArgument, store->ReadAt(ObjectKey("k"), 0, out));
  EXPECT_FAILS(Errc::kInvalidArgument, Put(*store, "k", "x"));
}

TEST_F(S3StoreTest, ABodyThatIsCutShortIsAnError) {
  auto& world = World();
  auto store = MakeStore();
  ASSERT_OK(Put(*store, "k", "0123456789"));
  world.server.FailAt("GetObject", 1, {.kind = Kind::kCutBody});
  Bytes out(10);
  EXPECT_FAILS(Errc::kUnavailable, store->ReadAt(ObjectKey("k"), 0, out));
  EXPECT_OK(store->ReadAt(ObjectKey("k"), 0, out));
}

TEST_F(S3StoreTest, EncryptsWithTheCustomersKey) {
  auto& world = World();
  Settings settings = world.MakeSettings();
  settings.part_size_bytes = kPart;
  ASSERT_OK_AND_ASSIGN(settings.customer_key,
                       MakeCustomerKey("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="));
  auto store = world.MakeStore(settings);
  const std::string large(3 * kPart, 'x');
  ASSERT_OK(Put(*store, "small", "x"));
  ASSERT_OK(Put(*store, "large", large));
  EXPECT_EQ(Get(*store, "small"), "x");
  EXPECT_EQ(Get(*store, "large"), large);
  auto without = MakeStore();
  EXPECT_FAILS(Errc::kInvalidArgument, without->Head(ObjectKey("small")));
  EXPECT_FALSE(MakeCustomerKey("dG9vIHNob3J0"));
  EXPECT_FALSE(MakeCustomerKey("no base64!"));
}

TEST_F(S3StoreTest, SaysHowObjectsAreToBeKept) {
  auto& world = World();
  Settings settings = world.MakeSettings();
  settings.part_size_bytes = kPart;
  settings.storage_class = "STANDARD_IA";
  settings.kms_key_id = "arn:aws:kms:eu-west-1:1:key/2";
  settings.extra_headers = {{.name = "x-tigris-consistent", .value = "true"}};
  auto store = world.MakeStore(settings);
  ASSERT_OK(Put(*store, "small", "x"));
  ASSERT_OK(Put(*store, "large", std::string(3 * kPart, 'x')));
  for (const char* operation : {"PutObject", "CreateMultipartUpload"}) {
    const auto request = world.server.LastRequest(operation);
    EXPECT_EQ(request.header("x-amz-storage-class"), "STANDARD_IA");
    EXPECT_EQ(request.header("x-amz-server-side-encryption"), "aws:kms");
    EXPECT_EQ(request.header("x-amz-server-side-encryption-aws-kms-key-id"), settings.kms_key_id);
    EXPECT_EQ(request.header("x-tigris-consistent"), "true");
  }
  EXPECT_EQ(world.server.LastRequest("UploadPart").header("x-amz-storage-class"), "");
}

TEST_F(S3StoreTest, LeavesAPayloadUnsignedIfTold) {
  auto& world = World();
  Settings settings = world.MakeSettings();
  settings.payload_signing = PayloadSigning::kUnsigned;
  auto store = world.MakeStore(settings);
  ASSERT_OK(Put(*store, "k", "x"));
  EXPECT_EQ(world.server.LastRequest("PutObject").header("x-amz-content-sha256"),
            "UNSIGNED-PAYLOAD");
}

TEST_F(S3StoreTest, DeletesManyWithOneRequest) {
  auto& world = World();
  auto store = MakeStore();
  std::vector<ObjectKey> keys;
  for (int i = 0; i < 1001; ++i) keys.emplace_back("k&<" + std::to_string(i));
  for (int i = 0; i < 3; ++i) ASSERT_OK(Put(*store, keys[static_cast<std::size_t>(i)].text(), "x"));
  world.server.ForgetOperations();
  ASSERT_OK(store->Delete(keys));
  EXPECT_THAT(world.server.operations(), ElementsAre("DeleteObjects", "DeleteObjects"));
  EXPECT_THAT(world.server.keys(), IsEmpty());
}

TEST_F(S3StoreTest, ARefusedDeletionIsNoSuccess) {
  auto& world = World();
  auto store = MakeStore();
  ASSERT_OK(Put(*store, "a", "x"));
  world.server.FailAll("DeleteObject", {.status = 403, .code = "AccessDenied"});
  world.server.FailAll("DeleteObjects", {.status = 403, .code = "AccessDenied"});
  const std::vector<ObjectKey> one = {ObjectKey("a")};
  const std::vector<ObjectKey> two = {ObjectKey("a"), ObjectKey("b")};
  EXPECT_FAILS(Errc::kPermissionDenied, store->Delete(one));
  EXPECT_FAILS(Errc::kPermissionDenied, store->Delete(two));
}

TEST_F(S3StoreTest, KeysBeginAsTheSettingsSay) {
  auto& world = World();
  for (const std::string prefix : {"", "/", "./", "a/b/"}) {
    Settings settings = world.MakeSettings();
    settings.key_prefix = prefix;
    auto store = world.MakeStore(settings);
    ASSERT_OK(Put(*store, "0000/k", "x"));
    EXPECT_THAT(world.server.keys(), Contains(prefix + "0000/k"));
    ASSERT_OK_AND_ASSIGN(const auto page, store->List("0000/", std::nullopt, 10));
    ASSERT_EQ(page.objects.size(), 1U);
    EXPECT_EQ(page.objects[0].key, ObjectKey("0000/k"));
  }
}

TEST_F(S3StoreTest, RefusesAListThatCannotBeRead) {
  World();
  auto store = MakeStore();
  world_->server.FailAt("ListObjectsV2", 1, {.kind = Kind::kLateError, .code = "Odd"});
  EXPECT_FAILS(Errc::kCorruption, store->List("", std::nullopt, 10));
}

}  // namespace
}  // namespace runnel::store::s3
