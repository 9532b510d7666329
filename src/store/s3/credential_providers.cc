#include "store/s3/credential_providers.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "fs/file_operations.h"
#include "http/uri.h"
#include "store/s3/times.h"

namespace runnel::store::s3 {
namespace {

constexpr std::size_t kTokenSizeMax = 64 << 10;
constexpr std::string_view kContainerHost = "http://169.254.170.2";
constexpr std::string_view kInstanceHost = "http://169.254.169.254";
constexpr std::string_view kRolesPath = "/latest/meta-data/iam/security-credentials/";
// Both are next to us, or not there at all.
constexpr std::chrono::milliseconds kNearTimeout{1000};

http::Request Near(http::Method method, std::string url, http::Headers headers) {
  return {.method = method,
          .url = std::move(url),
          .headers = std::move(headers),
          .body_size_max = kTokenSizeMax,
          .idle_timeout = std::chrono::seconds(5),
          .transport = {.connect_timeout = kNearTimeout}};
}

std::string TextOf(const nlohmann::json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// Tokens are for those who are near, or reached in a way that nobody can read.
bool MayHaveToken(const http::Url& url) {
  const std::string host = url.host();
  return url.scheme == "https" || host == "localhost" || host.starts_with("127.") ||
         host == "::1" || host == "169.254.170.2" || host == "169.254.170.23" ||
         host == "fd00:ec2::23";
}

std::string Stripped(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

}  // namespace

std::string Variable(const ChainWorld& world, std::string_view name) {
  const auto found = world.environment.find(name);
  return found != world.environment.end() ? found->second : "";
}

Result<std::optional<Credentials>> FromEnvironment(const ChainWorld& world) {
  std::string id = Variable(world, "AWS_ACCESS_KEY_ID");
  std::string secret = Variable(world, "AWS_SECRET_ACCESS_KEY");
  // Litestream's own, where AWS's are not set.
  if (id.empty()) id = Variable(world, "LITESTREAM_ACCESS_KEY_ID");
  if (secret.empty()) secret = Variable(world, "LITESTREAM_SECRET_ACCESS_KEY");
  if (id.empty() && secret.empty()) return std::nullopt;
  if (id.empty() || secret.empty()) {
    return Fail(Errc::kPermissionDenied,
                "of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set: set both");
  }
  return Credentials{.access_key_id = std::move(id),
                     .secret_access_key = Redacted(std::move(secret)),
                     .session_token = Redacted(Variable(world, "AWS_SESSION_TOKEN"))};
}

Result<std::optional<Credentials>> FromWebIdentity(const ChainWorld& world) {
  const WebIdentity identity{.role_arn = Variable(world, "AWS_ROLE_ARN"),
                             .session_name = Variable(world, "AWS_ROLE_SESSION_NAME"),
                             .token_file = Variable(world, "AWS_WEB_IDENTITY_TOKEN_FILE")};
  if (identity.role_arn.empty() || identity.token_file.empty()) return std::nullopt;
  return AssumeRoleWithWebIdentity(world, identity, DefaultRegion(world));
}

Result<std::optional<Credentials>> FromContainer(const ChainWorld& world) {
  const std::string relative = Variable(world, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  std::string url = Variable(world, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
  if (!relative.empty()) url = std::string(kContainerHost) + relative;
  if (url.empty()) return std::nullopt;
  const auto parsed = http::ParseUrl(url);
  if (!parsed || !MayHaveToken(*parsed)) {
    return Fail(Errc::kInvalidArgument,
                "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or lead to this machine");
  }
  std::string token = Variable(world, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
  if (const std::string file = Variable(world, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
      !file.empty()) {
    RUNNEL_TRY(const Bytes text, fs::ReadFile(world.fs, file, kTokenSizeMax));
    token = Stripped(std::string(AsText(text)));
  }
  http::Headers headers;
  if (!token.empty()) headers.push_back({.name = "authorization", .value = token});
  RUNNEL_TRY(const http::Response response,
             world.http.Send(Near(http::Method::kGet, url, std::move(headers))));
  if (response.status != 200) {
    return Fail(Errc::kUnavailable, fmt::format("the container's credentials: status {} from {}",
                                                response.status, parsed->authority));
  }
  return ParseCredentialsJson(AsText(response.body), "the container's credentials");
}

Result<std::optional<Credentials>> FromInstance(const ChainWorld& world) {
  if (Variable(world, "AWS_EC2_METADATA_DISABLED") == "true") return std::nullopt;
  std::string host = Variable(world, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
  if (host.empty()) host = kInstanceHost;
  while (host.ends_with('/')) host.pop_back();
  const auto token =
      world.http.Send(Near(http::Method::kPut, host + "/latest/api/token",
                           {{.name = "x-aws-ec2-metadata-token-ttl-seconds", .value = "21600"}}));
  if (!token || token->status != 200) return std::nullopt;  // no such instance
  const http::Headers headers = {
      {.name = "x-aws-ec2-metadata-token", .value = std::string(AsText(token->body))}};
  RUNNEL_TRY(const http::Response roles,
             world.http.Send(Near(http::Method::kGet, host + std::string(kRolesPath), headers)));
  const std::string text(AsText(roles.body));
  const std::string role = text.substr(0, text.find('\n'));
  if (roles.status == 404 || role.empty()) return std::nullopt;  // it has no role
  RUNNEL_TRY(
      const http::Response response,
      world.http.Send(Near(http::Method::kGet, host + std::string(kRolesPath) + role, headers)));
  if (roles.status != 200 || response.status != 200) {
    return Fail(Errc::kUnavailable,
                fmt::format("the instance's credentials: status {}", response.status));
  }
  return ParseCredentialsJson(AsText(response.body), "the instance's credentials");
}

Result<Credentials> ParseCredentialsJson(std::string_view json, std::string_view source) {
  const auto parsed = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) {
    return Fail(Errc::kCorruption, fmt::format("{}: no JSON object", source));
  }
  std::string token = TextOf(parsed, "Token");
  if (token.empty()) token = TextOf(parsed, "SessionToken");
  Credentials credentials{.access_key_id = TextOf(parsed, "AccessKeyId"),
                          .secret_access_key = Redacted(TextOf(parsed, "SecretAccessKey")),
                          .session_token = Redacted(std::move(token)),
                          .expires = ParseRfc3339(TextOf(parsed, "Expiration"))};
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
    return Fail(Errc::kPermissionDenied,
                fmt::format("{}: no AccessKeyId and SecretAccessKey: {} {}", source,
                            TextOf(parsed, "Code"), TextOf(parsed, "Message")));
  }
  return credentials;
}

}  // namespace runnel::store::s3
