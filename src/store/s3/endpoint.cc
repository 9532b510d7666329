#include "store/s3/endpoint.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "http/uri.h"
#include "store/s3/digest.h"

namespace runnel::store::s3 {
namespace {

constexpr std::string_view kArnStart = "arn:";

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

std::string_view DnsSuffixOf(std::string_view region) {
  return region.starts_with("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
}

// "arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME" (or "accesspoint:NAME").
Result<Endpoint> ResolveAccessPoint(const Settings& settings) {
  const std::string& arn = settings.bucket;
  const std::vector<std::string> parts = Split(arn, ':');
  const std::string_view rest = parts.size() >= 6 ? std::string_view(parts[5]) : "";
  std::string name;
  if (parts.size() == 6 && rest.starts_with("accesspoint/")) name = rest.substr(12);
  if (parts.size() == 7 && rest == "accesspoint") name = parts[6];
  if (parts.size() < 6 || parts[2] != "s3" || name.empty() || name.contains('/')) {
    return Fail(Errc::kUnsupported,
                fmt::format("{}: of ARNs only those of S3 access points are understood: "
                            "arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME",
                            arn));
  }
  if (parts[3].empty()) {
    return Fail(Errc::kUnsupported,
                fmt::format("{}: access points of several regions need a signature that this "
                            "version does not make; use one of a single region",
                            arn));
  }
  if (!settings.endpoint.empty()) {
    return Fail(Errc::kInvalidArgument, fmt::format("{}: an access point has its own host: leave "
                                                    "endpoint away",
                                                    arn));
  }
  return Endpoint{.scheme = "https",
                  .authority = fmt::format("{}-{}.s3-accesspoint.{}.{}", name, parts[4], parts[3],
                                           DnsSuffixOf(parts[3])),
                  .path_prefix = ""};
}

// Whether `bucket` can be a label of a host name, and of one certificate.
bool FitsHostName(std::string_view bucket) {
  return !bucket.empty() && bucket.size() <= 63 && std::ranges::all_of(bucket, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

bool IsLocal(const std::string& host) {
  if (host == "localhost" || host.ends_with(".localhost") || host == "::1") return true;
  in_addr address{};
  if (::inet_pton(AF_INET, host.c_str(), &address) != 1) return false;
  const std::uint32_t ip = ntohl(address.s_addr);
  return ip >> 24 == 127 || ip >> 24 == 10 || ip >> 20 == 0xAC1 || ip >> 16 == 0xC0A8;
}

}  // namespace

Result<CustomerKey> MakeCustomerKey(std::string_view key_base64) {
  const auto key = Base64Decode(key_base64);
  if (!key || key->size() != 32) {
    return Fail(Errc::kInvalidArgument,
                "sse-customer-key must be 32 random bytes in base64 (openssl rand -base64 32)");
  }
  return CustomerKey{.key_base64 = Redacted(std::string(key_base64)),
                     .key_md5_base64 = Base64(Md5(*key))};
}

std::string Endpoint::PathOf(const std::string& key) const {
  return fmt::format("{}/{}", path_prefix, http::PercentEncode(key, http::Slash::kKeep));
}

std::string RegionOfArn(const std::string& bucket) {
  if (!bucket.starts_with(kArnStart)) return "";
  const std::vector<std::string> parts = Split(bucket, ':');
  return parts.size() > 3 ? parts[3] : "";
}

Result<Endpoint> ResolveEndpoint(const Settings& settings, const std::string& region) {
  if (settings.bucket.empty()) return Fail(Errc::kInvalidArgument, "no bucket is named");
  if (settings.bucket.starts_with(kArnStart)) return ResolveAccessPoint(settings);
  if (settings.bucket.find_first_of("/?#@ ") != std::string::npos) {
    return Fail(Errc::kInvalidArgument,
                fmt::format("'{}' is no name of a bucket", settings.bucket));
  }
  Endpoint endpoint;
  Addressing addressing = Addressing::kPath;
  if (settings.endpoint.empty()) {
    endpoint.scheme = "https";
    endpoint.authority = fmt::format("s3.{}.{}", region, DnsSuffixOf(region));
    addressing = settings.addressing.value_or(Addressing::kVirtualHost);
  } else {
    const auto url = http::ParseUrl(WithScheme(settings.endpoint));
    if (!url || url->authority.empty() || !url->query.empty() ||
        (url->scheme != "http" && url->scheme != "https")) {
      return Fail(Errc::kInvalidArgument,
                  fmt::format("endpoint {} is no URL such as https://storage.example.com:9000",
                              RedactUrl(settings.endpoint)));
    }
    endpoint.scheme = url->scheme;
    endpoint.authority = url->authority;
    endpoint.path_prefix = url->path;
    while (endpoint.path_prefix.ends_with('/')) endpoint.path_prefix.pop_back();
    addressing = settings.addressing.value_or(Addressing::kPath);
  }
  if (addressing == Addressing::kVirtualHost && FitsHostName(settings.bucket)) {
    endpoint.authority = settings.bucket + "." + endpoint.authority;
  } else {
    endpoint.path_prefix += "/" + http::PercentEncode(settings.bucket);
  }
  return endpoint;
}

void ApplyProvider(Settings& settings) {
  if (settings.endpoint.empty()) return;
  const auto url = http::ParseUrl(WithScheme(settings.endpoint));
  if (!url) return;
  const std::string host = url->host();
  if (host.ends_with(".tigris.dev") || host.ends_with(".storage.dev")) {
    // Reads see the newest write wherever they are answered.
    settings.extra_headers.push_back({.name = "x-tigris-consistent", .value = "true"});
    settings.delete_checksum = DeleteChecksum::kNone;
  } else if (host.ends_with(".r2.cloudflarestorage.com")) {
    settings.part_sizes = PartSizes::kEqual;
    settings.parts_in_flight = std::min(settings.parts_in_flight, 2U);
  } else if (host.ends_with(".digitaloceanspaces.com") || host.ends_with(".scw.cloud") ||
             host.ends_with(".your-objectstorage.com")) {
    if (!settings.addressing) settings.addressing = Addressing::kVirtualHost;
  }
}

std::string WithScheme(const std::string& endpoint) {
  if (endpoint.empty() || endpoint.contains("://")) return endpoint;
  const auto url = http::ParseUrl("https://" + endpoint);
  return (url && IsLocal(url->host()) ? "http://" : "https://") + endpoint;
}

}  // namespace runnel::store::s3
