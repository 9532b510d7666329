#include "store/s3/credential_chain.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http/curl_client.h"
#include "store/s3/times.h"
#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"
#include "testing/s3/http_server.h"

namespace runnel::store::s3 {
namespace {

using ::testing::HasSubstr;
using testing::ServerRequest;
using testing::ServerResponse;

class CredentialChainTest : public ::testing::Test {
 protected:
  // What the one server answers to "METHOD /path"; anything else is 404.
  struct Answer {
    int status = 200;
    std::string body;
  };

  void Write(const std::string& path, std::string_view text) {
    ASSERT_OK(files.CreateDirectories(fs::Path(path).parent_path(), {.mode = 0700}));
    ASSERT_OK_AND_ASSIGN(auto file, files.Open(path, fs::OpenMode::kCreate, {}));
    ASSERT_OK(file->WriteAt(0, AsBytes(text)));
  }

  std::unique_ptr<CredentialsSource> Make() {
    environment.emplace("HOME", "/home/me");
    environment.emplace("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url());
    environment.emplace("AWS_ENDPOINT_URL_STS", server.url());
    return MakeCredentialChain({.environment = environment,
                                .fs = files,
                                .http = client,
                                .clock = clock,
                                .run_command = [this](const std::string& command) {
                                  commands.push_back(command);
                                  return Result<std::string>(command_output);
                                }});
  }

  std::string JsonKeys(const std::string& id, std::chrono::minutes life) {
    return fmt::format(
        R"({{"Version":1,"AccessKeyId":"{}","SecretAccessKey":"s","Token":"t","Expiration":"{}"}})",
        id, FormatRfc3339(clock.Now() + life));
  }

  std::string StsKeys(const std::string& action, const std::string& id) {
    return fmt::format(
        "<{0}Response><{0}Result><Credentials><AccessKeyId>{1}</AccessKeyId>"
        "<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
        "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></{0}Result></{0}Response>",
        action, id);
  }

  static std::string IdOf(CredentialsSource& source) {
    auto credentials = source.Get();
    return credentials ? credentials->access_key_id : credentials.error().message();
  }

  testing::ManualClock clock;
  testing::MemoryFileSystem files{clock};
  http::CurlClient client{{}};
  Variables environment;
  std::vector<std::string> commands;
  std::string command_output;
  std::mutex mutex;
  std::map<std::string, Answer> answers;
  std::vector<ServerRequest> requests;
  testing::HttpServer server{[this](const ServerRequest& request) {
    const std::lock_guard lock(mutex);
    requests.push_back(request);
    const auto found = answers.find(request.method + " " + request.path);
    if (found == answers.end()) return ServerResponse{.status = 404};
    return ServerResponse{.status = found->second.status, .body = found->second.body};
  }};
};

TEST_F(CredentialChainTest, TheEnvironmentComesFirst) {
  environment = {{"AWS_ACCESS_KEY_ID", "FROM-ENV"},
                 {"AWS_SECRET_ACCESS_KEY", "s"},
                 {"AWS_SESSION_TOKEN", "t"}};
  Write("/home/me/.aws/credentials", "[default]\naws_access_key_id=X\naws_secret_access_key=Y\n");
  auto chain = Make();
  ASSERT_OK_AND_ASSIGN(const Credentials credentials, chain->Get());
  EXPECT_EQ(credentials.access_key_id, "FROM-ENV");
  EXPECT_EQ(credentials.session_token.Reveal(), "t");
  EXPECT_TRUE(requests.empty());
}

TEST_F(CredentialChainTest, LitestreamsVariablesStandInForAwss) {
  environment = {{"LITESTREAM_ACCESS_KEY_ID", "L"}, {"LITESTREAM_SECRET_ACCESS_KEY", "s"}};
  EXPECT_EQ(IdOf(*Make()), "L");
}

TEST_F(CredentialChainTest, HalfOfAKeyIsAMistake) {
  environment = {{"AWS_ACCESS_KEY_ID", "A"}};
  EXPECT_THAT(IdOf(*Make()), HasSubstr("only one is set"));
}

TEST_F(CredentialChainTest, ReadsProfiles) {
  Write("/home/me/.aws/credentials",
        "# mine\n[default]\naws_access_key_id = DEFAULT\naws_secret_access_key = s \n"
        "[work]\r\naws_access_key_id=WORK\r\naws_secret_access_key=s\r\naws_session_token=t\r\n");
  Write("/home/me/.aws/config", "[profile work]\nregion = eu-west-3\ns3 =\n  region = no\n");
  EXPECT_EQ(IdOf(*Make()), "DEFAULT");
  environment["AWS_PROFILE"] = "work";
  EXPECT_EQ(IdOf(*Make()), "WORK");
  const ChainWorld world{
      .environment = environment, .fs = files, .http = client, .clock = clock, .run_command = {}};
  EXPECT_EQ(DefaultRegion(world), "eu-west-3");
  environment["AWS_PROFILE"] = "none";
  EXPECT_THAT(IdOf(*Make()), HasSubstr("no profile none"));
}

TEST_F(CredentialChainTest, FilesMayLieElsewhere) {
  environment = {{"AWS_SHARED_CREDENTIALS_FILE", "/etc/keys"}};
  Write("/etc/keys", "[default]\naws_access_key_id=ELSEWHERE\naws_secret_access_key=s\n");
  EXPECT_EQ(IdOf(*Make()), "ELSEWHERE");
}

TEST_F(CredentialChainTest, AProfileMayTakeTheRoleOfAnother) {
  Write("/home/me/.aws/config",
        "[default]\nrole_arn=arn:role\nsource_profile=base\nexternal_id=e\nregion=eu-west-1\n"
        "[profile base]\naws_access_key_id=BASE\naws_secret_access_key=s\n");
  answers["POST /"] = {.body = StsKeys("AssumeRole", "ROLE")};
  auto chain = Make();
  EXPECT_EQ(IdOf(*chain), "ROLE");
  ASSERT_EQ(requests.size(), 1U);
  const std::string form(AsText(requests[0].body));
  EXPECT_THAT(form, HasSubstr("Action=AssumeRole&ExternalId=e&RoleArn=arn%3Arole"));
  EXPECT_THAT(requests[0].header("authorization"), HasSubstr("Credential=BASE/"));
  EXPECT_THAT(requests[0].header("authorization"), HasSubstr("/eu-west-1/sts/aws4_request"));
}

TEST_F(CredentialChainTest, RolesThatNeedEachOtherComeToAnEnd) {
  Write(
      "/home/me/.aws/config",
      "[default]\nrole_arn=a\nsource_profile=b\n[profile b]\nrole_arn=b\nsource_profile=default\n");
  EXPECT_FAILS(Errc::kPermissionDenied, Make()->Get());
}

TEST_F(CredentialChainTest, RunsTheProcessOfAProfile) {
  Write("/home/me/.aws/config", "[default]\ncredential_process = /bin/keys --for \"me\"\n");
  command_output = JsonKeys("PROCESS", std::chrono::minutes(60));
  EXPECT_EQ(IdOf(*Make()), "PROCESS");
  EXPECT_THAT(commands, ::testing::ElementsAre("/bin/keys --for \"me\""));
  command_output = "no json";
  EXPECT_FAILS(Errc::kCorruption, Make()->Get());
}

TEST_F(CredentialChainTest, SaysWhyALoginOfAPersonIsOfNoUse) {
  Write("/home/me/.aws/config", "[default]\nsso_session = work\n");
  auto credentials = Make()->Get();
  ASSERT_FAILS(Errc::kUnsupported, credentials);
  EXPECT_THAT(credentials.error().message(), HasSubstr("export-credentials"));
}

TEST_F(CredentialChainTest, TakesARoleWithAWebIdentity) {
  environment = {{"AWS_ROLE_ARN", "arn:role"}, {"AWS_WEB_IDENTITY_TOKEN_FILE", "/run/token"}};
  Write("/run/token", "the.token\n");
  answers["POST /"] = {.body = StsKeys("AssumeRoleWithWebIdentity", "WEB")};
  EXPECT_EQ(IdOf(*Make()), "WEB");
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_THAT(std::string(AsText(requests[0].body)), HasSubstr("WebIdentityToken=the.token"));
  EXPECT_EQ(requests[0].header("authorization"), "");
  answers["POST /"] = {.status = 403,
                       .body =
                           "<ErrorResponse><Error><Code>AccessDenied</Code><Message>m</Message>"
                           "</Error></ErrorResponse>"};
  EXPECT_FAILS(Errc::kPermissionDenied, Make()->Get());
  answers["POST /"] = {.status = 503, .body = ""};
  EXPECT_FAILS(Errc::kUnavailable, Make()->Get());
}

TEST_F(CredentialChainTest, AsksTheContainer) {
  environment = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url() + "/keys"},
                 {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/run/token"},
                 {"AWS_CONTAINER_AUTHORIZATION_TOKEN", "not this one"}};
  Write("/run/token", "secret\n");
  answers["GET /keys"] = {.body = JsonKeys("CONTAINER", std::chrono::minutes(60))};
  EXPECT_EQ(IdOf(*Make()), "CONTAINER");
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].header("authorization"), "secret");
}

TEST_F(CredentialChainTest, TheContainersTokenGoesToNobodyElse) {
  environment = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/keys"},
                 {"AWS_CONTAINER_AUTHORIZATION_TOKEN", "secret"}};
  EXPECT_FAILS(Errc::kInvalidArgument, Make()->Get());
}

TEST_F(CredentialChainTest, AsksTheInstance) {
  const std::string roles = "/latest/meta-data/iam/security-credentials/";
  answers["PUT /latest/api/token"] = {.body = "session"};
  answers["GET " + roles] = {.body = "my-role"};
  answers["GET " + roles + "my-role"] = {.body = JsonKeys("INSTANCE", std::chrono::minutes(60))};
  EXPECT_EQ(IdOf(*Make()), "INSTANCE");
  ASSERT_EQ(requests.size(), 3U);
  EXPECT_EQ(requests[2].header("x-aws-ec2-metadata-token"), "session");
  environment["AWS_EC2_METADATA_DISABLED"] = "true";
  EXPECT_FAILS(Errc::kPermissionDenied, Make()->Get());
  EXPECT_EQ(requests.size(), 3U);
}

TEST_F(CredentialChainTest, SaysWhereItLooked) {
  auto credentials = Make()->Get();
  ASSERT_FAILS(Errc::kPermissionDenied, credentials);
  EXPECT_THAT(credentials.error().message(), HasSubstr("AWS_ACCESS_KEY_ID"));
}

class CredentialRenewalTest : public CredentialChainTest {
 protected:
  CredentialRenewalTest() {
    environment = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url() + "/keys"}};
    Answer("FIRST", std::chrono::minutes(60));
  }
  void Answer(const std::string& id, std::chrono::minutes life) {
    answers["GET /keys"] = {.body = JsonKeys(id, life)};
  }
};

TEST_F(CredentialRenewalTest, AsksAgainOnlyBeforeTheyExpire) {
  auto chain = Make();
  EXPECT_EQ(IdOf(*chain), "FIRST");
  clock.Advance(std::chrono::minutes(54));
  Answer("SECOND", std::chrono::minutes(60));
  EXPECT_EQ(IdOf(*chain), "FIRST");
  EXPECT_EQ(requests.size(), 1U);
  clock.Advance(std::chrono::minutes(2));
  EXPECT_EQ(IdOf(*chain), "SECOND");
}

TEST_F(CredentialRenewalTest, UsesThemToTheEndIfTheyCannotBeRenewed) {
  auto chain = Make();
  EXPECT_EQ(IdOf(*chain), "FIRST");
  answers["GET /keys"] = {.status = 500, .body = ""};
  clock.Advance(std::chrono::minutes(58));
  EXPECT_EQ(IdOf(*chain), "FIRST");
  clock.Advance(std::chrono::minutes(3));
  EXPECT_FAILS(Errc::kUnavailable, chain->Get());
}

TEST_F(CredentialRenewalTest, WhatWasRejectedIsAskedForAgain) {
  auto chain = Make();
  ASSERT_OK_AND_ASSIGN(const Credentials first, chain->Get());
  Answer("SECOND", std::chrono::minutes(60));
  chain->Reject(first);
  EXPECT_EQ(IdOf(*chain), "SECOND");
  chain->Reject(first);  // of another thread, late
  EXPECT_EQ(requests.size(), 2U);
  EXPECT_EQ(IdOf(*chain), "SECOND");
  EXPECT_EQ(requests.size(), 2U);
}

}  // namespace
}  // namespace runnel::store::s3
