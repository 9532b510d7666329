#include "store/s3/bucket_client.h"

#include <fmt/format.h>

#include <algorithm>

#include "store/s3/digest.h"
#include "store/s3/signer.h"
#include "store/s3/times.h"

namespace runnel::store::s3 {
namespace {

constexpr std::string_view kAnyRegion = "us-east-1";
// The wrong region, an expired token and a wrong clock may come one after the other.
constexpr int kRoundsMax = 4;
// Less is no reason for a refusal: stores allow for 15 minutes.
constexpr std::chrono::minutes kSkewMin{4};

// An answer to HEAD has no body that could name the cause.

bool IsAboutTime(const Refusal& refusal) {
  const std::string& code = refusal.body.code;
  return code == "RequestTimeTooSkewed" || code == "RequestExpired" ||
         (code.empty() && refusal.status == 403);
}

bool IsExpiry(const Refusal& refusal, const Credentials& used) {
  const std::string& code = refusal.body.code;
  if (code.empty()) return refusal.status == 400 && !used.session_token.empty();
  return code == "ExpiredToken" || code == "ExpiredTokenException" || code == "InvalidToken" ||
         code == "TokenRefreshRequired" || code == "InvalidAccessKeyId";
}

// It becomes part of a host name.
bool IsRegion(std::string_view text) {
  return !text.empty() && text.size() <= 40 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

std::string FirstRegion(const Settings& settings) {
  if (std::string region = RegionOfArn(settings.bucket); !region.empty()) return region;
  return settings.region.empty() ? std::string(kAnyRegion) : settings.region;
}

}  // namespace

BucketClient::BucketClient(Settings settings, http::Client& http, CredentialsSource& credentials,
                           Clock& clock)
    : settings_(std::move(settings)),
      http_(http),
      credentials_(credentials),
      clock_(clock),
      region_(FirstRegion(settings_)) {}

std::string BucketClient::Region() const {
  const std::lock_guard lock(mutex_);
  return region_;
}

Result<http::Response> BucketClient::Send(const Call& call) {
  bool renewed = false;
  bool clock_set = false;
  for (int round = 1;; ++round) {
    RUNNEL_TRY(const Credentials credentials, credentials_.Get());
    const std::string region = Region();
    RUNNEL_TRY(http::Response response, SendOnce(call, region, credentials));
    if (response.status < 300 || round == kRoundsMax) return response;
    const Refusal refusal = RefusalOf(response);
    if (LearnRegion(response, refusal, region)) continue;
    if (!clock_set && IsAboutTime(refusal)) {
      clock_set = true;
      if (LearnTime(response)) continue;
    }
    if (!renewed && IsExpiry(refusal, credentials)) {
      credentials_.Reject(credentials);
      renewed = true;
      RUNNEL_TRY(const Credentials newer, credentials_.Get());
      if (newer == credentials) return response;
      continue;
    }
    return response;
  }
}

Result<http::Response> BucketClient::SendOnce(const Call& call, const std::string& region,
                                              const Credentials& credentials) {
  RUNNEL_TRY(const Endpoint endpoint, ResolveEndpoint(settings_, region));
  const WallTime now =
      clock_.Now() + std::chrono::milliseconds(clock_offset_ms_.load(std::memory_order_relaxed));
  const std::string payload_hash = settings_.payload_signing == PayloadSigning::kSigned
                                       ? Hex(Sha256(call.body))
                                       : std::string(kUnsignedPayload);
  http::Headers headers = call.headers;
  headers.insert(headers.end(), settings_.extra_headers.begin(), settings_.extra_headers.end());
  headers.push_back({.name = "host", .value = endpoint.authority});
  headers.push_back({.name = "x-amz-content-sha256", .value = payload_hash});
  headers.push_back({.name = "x-amz-date", .value = FormatAmzDate(now)});
  if (!credentials.session_token.empty()) {
    headers.push_back(
        {.name = "x-amz-security-token", .value = credentials.session_token.Reveal()});
  }
  const std::string path = endpoint.PathOf(call.key);
  const std::string query = http::EncodeQuery(call.query);
  headers.push_back({.name = "authorization",
                     .value = Authorization({.method = http::MethodName(call.method),
                                             .path = path,
                                             .query = query,
                                             .headers = headers,
                                             .payload_hash = payload_hash},
                                            credentials, {.region = region}, now)});
  auto response =
      http_.Send({.method = call.method,
                  .url = fmt::format("{}://{}{}{}{}", endpoint.scheme, endpoint.authority, path,
                                     query.empty() ? "" : "?", query),
                  .headers = std::move(headers),
                  .body = call.body,
                  .body_out = call.body_out,
                  .idle_timeout = call.idle_timeout,
                  .transport = settings_.transport,
                  .stop_requested = call.on_stop == Call::OnStop::kEnd ? stop_requested_
                                                                       : std::function<bool()>()});
  if (!response) {
    return Fail(std::move(response).error().Context(
        fmt::format("bucket {}: {}", settings_.bucket, call.name)));
  }
  return response;
}

bool BucketClient::LearnRegion(const http::Response& response, const Refusal& refusal,
                               const std::string& used) {
  const std::string* const header = http::FindHeader(response.headers, "x-amz-bucket-region");
  const std::string& named = header != nullptr ? *header : refusal.body.region;
  const bool is_about_region = (response.status >= 301 && response.status <= 308) ||
                               response.status == 400 ||
                               refusal.body.code == "AuthorizationHeaderMalformed";
  if (!is_about_region || !IsRegion(named) || named == used) return false;
  if (!RegionOfArn(settings_.bucket).empty()) return false;
  const std::lock_guard lock(mutex_);
  region_ = named;
  return true;
}

bool BucketClient::LearnTime(const http::Response& response) {
  const std::string* const date = http::FindHeader(response.headers, "date");
  const auto time = date != nullptr ? ParseHttpDate(*date) : std::nullopt;
  if (!time) return false;
  const auto offset = *time - clock_.Now();
  const std::chrono::milliseconds known(clock_offset_ms_.load(std::memory_order_relaxed));
  if (std::chrono::abs(offset - known) < kSkewMin) return false;
  clock_offset_ms_.store(offset.count(), std::memory_order_relaxed);
  return true;
}

Error BucketClient::Failure(const Call& call, const http::Response& response) const {
  const auto endpoint = ResolveEndpoint(settings_, Region());
  return FailureOf(
      {.name = call.name,
       .bucket = settings_.bucket,
       .endpoint = endpoint ? fmt::format("{}://{}", endpoint->scheme, endpoint->authority) : "",
       .key = call.key},
      RefusalOf(response));
}

}  // namespace runnel::store::s3
