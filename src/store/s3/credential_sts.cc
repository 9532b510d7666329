// Credentials for a role, from AWS's Security Token Service.

#include <fmt/format.h>

#include "fs/file_operations.h"
#include "http/uri.h"
#include "store/s3/credential_providers.h"
#include "store/s3/digest.h"
#include "store/s3/failure.h"
#include "store/s3/signer.h"
#include "store/s3/times.h"
#include "store/s3/xml.h"

namespace runnel::store::s3 {
namespace {

constexpr std::size_t kTokenSizeMax = 64 << 10;
constexpr std::string_view kAnyRegion = "us-east-1";

std::string UrlOf(const ChainWorld& world, const std::string& region) {
  if (std::string url = Variable(world, "AWS_ENDPOINT_URL_STS"); !url.empty()) return url;
  return fmt::format("https://sts.{}.amazonaws.com{}", region,
                     region.starts_with("cn-") ? ".cn" : "");
}

std::string SessionName(const std::string& wanted) { return wanted.empty() ? "runnel" : wanted; }

http::Request MakeRequest(const std::string& url, const std::string& form) {
  return {.method = http::Method::kPost,
          .url = url.ends_with('/') ? url : url + "/",
          .headers = {{.name = "content-type", .value = "application/x-www-form-urlencoded"}},
          .body = AsBytes(form),
          .body_size_max = kTokenSizeMax};
}

Result<Credentials> CredentialsOf(const http::Response& response, const std::string& role) {
  if (response.status != 200) {
    const Refusal refusal = RefusalOf(response);
    const bool may_pass = refusal.status >= 500 || refusal.body.code == "Throttling";
    return Fail(may_pass ? Errc::kUnavailable : Errc::kPermissionDenied,
                fmt::format("role {}: {} ({}): {}", role, refusal.body.code, refusal.status,
                            refusal.body.message));
  }
  const auto sts = ParseSts(response.body);
  if (!sts) return Fail(Errc::kCorruption, fmt::format("role {}: an answer without keys", role));
  return Credentials{.access_key_id = sts->access_key_id,
                     .secret_access_key = Redacted(sts->secret_access_key),
                     .session_token = Redacted(sts->session_token),
                     .expires = ParseRfc3339(sts->expiration)};
}

}  // namespace

Result<Credentials> AssumeRoleWithWebIdentity(const ChainWorld& world, const WebIdentity& identity,
                                              const std::string& region) {
  auto token = fs::ReadFile(world.fs, identity.token_file, kTokenSizeMax);
  if (!token) return Fail(std::move(token).error().Context("the token of the web identity"));
  std::string text(AsText(*token));
  while (text.ends_with('\n')) text.pop_back();
  const std::string form =
      http::EncodeQuery({{"Action", "AssumeRoleWithWebIdentity"},
                         {"Version", "2011-06-15"},
                         {"RoleArn", identity.role_arn},
                         {"RoleSessionName", SessionName(identity.session_name)},
                         {"WebIdentityToken", text}});
  const std::string where = region.empty() ? std::string(kAnyRegion) : region;
  RUNNEL_TRY(const http::Response response,
             world.http.Send(MakeRequest(UrlOf(world, where), form)));
  return CredentialsOf(response, identity.role_arn);
}

Result<Credentials> AssumeRole(const ChainWorld& world, const Role& role, const Credentials& own,
                               const std::string& region) {
  http::Query query = {{"Action", "AssumeRole"},
                       {"Version", "2011-06-15"},
                       {"RoleArn", role.arn},
                       {"RoleSessionName", SessionName(role.session_name)}};
  if (!role.external_id.empty()) query.emplace_back("ExternalId", role.external_id);
  const std::string form = http::EncodeQuery(query);
  const std::string where = region.empty() ? std::string(kAnyRegion) : region;
  const std::string url = UrlOf(world, where);
  const auto parsed = http::ParseUrl(url);
  if (!parsed) return Fail(Errc::kInvalidArgument, "AWS_ENDPOINT_URL_STS is no URL");
  http::Request request = MakeRequest(url, form);
  const WallTime now = world.clock.Now();
  request.headers.push_back({.name = "host", .value = parsed->authority});
  request.headers.push_back({.name = "x-amz-date", .value = FormatAmzDate(now)});
  if (!own.session_token.empty()) {
    request.headers.push_back(
        {.name = "x-amz-security-token", .value = own.session_token.Reveal()});
  }
  request.headers.push_back(
      {.name = "authorization",
       .value = Authorization({.method = "POST",
                               .path = "/",
                               .query = "",
                               .headers = request.headers,
                               .payload_hash = Hex(Sha256(AsBytes(form)))},
                              own, {.region = where, .service = "sts"}, now)});
  RUNNEL_TRY(const http::Response response, world.http.Send(request));
  return CredentialsOf(response, role.arn);
}

}  // namespace runnel::store::s3
