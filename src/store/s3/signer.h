// AWS Signature Version 4, in a header. Pure.

#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "http/client.h"
#include "store/s3/credentials.h"

namespace runnel::store::s3 {

// What stands for the SHA-256 of a body that is not signed.
inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";

struct SigningScope {
  std::string region;
  std::string service = "s3";
};

struct RequestToSign {
  std::string_view method;
  std::string_view path;   // as it goes over the wire, encoded by http::PercentEncode()
  std::string_view query;  // as it goes over the wire, made by http::EncodeQuery()
  // All of them are signed: `host` and `x-amz-date` must be there, with a session token
  // `x-amz-security-token` too.
  const http::Headers& headers;
  std::string_view payload_hash;
};

// The value of `x-amz-date`: "20130524T000000Z".
std::string FormatAmzDate(WallTime time);

// The value of the header `authorization`. `time` is the one in `x-amz-date`.
std::string Authorization(const RequestToSign& request, const Credentials& credentials,
                          const SigningScope& scope, WallTime time);

}  // namespace runnel::store::s3
