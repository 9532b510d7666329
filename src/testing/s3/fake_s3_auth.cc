// Signature Version 4 from the other side: worked out from what came over the wire, apart from the
// code that signs.

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "store/s3/digest.h"
#include "testing/s3/fake_s3.h"
#include "testing/s3/fake_s3_answer.h"

namespace runnel::testing {
namespace {

using store::s3::Hex;
using store::s3::HmacSha256;
using store::s3::Sha256;

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

// The value of `name` in "AWS4-HMAC-SHA256 Credential=.., SignedHeaders=.., Signature=..".
std::string Field(const std::string& authorization, const std::string& name) {
  const std::size_t start = authorization.find(name + "=");
  if (start == std::string::npos) return "";
  const std::size_t from = start + name.size() + 1;
  return authorization.substr(from, authorization.find(',', from) - from);
}

std::string CanonicalQuery(const std::string& raw) {
  std::vector<std::string> items;
  for (const std::string& item : Split(raw, '&')) {
    const std::size_t equals = std::min(item.find('='), item.size());
    const auto name = http::PercentDecode(item.substr(0, equals));
    const auto value = http::PercentDecode(item.substr(std::min(equals + 1, item.size())));
    if (!name || !value) return "?";
    items.push_back(http::PercentEncode(*name) + "=" + http::PercentEncode(*value));
  }
  std::ranges::sort(items);
  return fmt::format("{}", fmt::join(items, "&"));
}

std::string Trimmed(const std::string& value) {
  std::istringstream in(value);
  std::string out;
  for (std::string word; in >> word;) out += (out.empty() ? "" : " ") + word;
  return out;
}

std::string ToText(const store::s3::Sha256Digest& digest) { return std::string(AsText(digest)); }

std::string Sign(const FakeS3Options& options, const std::vector<std::string>& scope,
                 const std::string& to_sign) {
  std::string key = "AWS4" + options.secret_access_key;
  for (std::size_t i = 1; i < scope.size(); ++i) {
    key = ToText(HmacSha256(AsBytes(key), AsBytes(scope[i])));
  }
  return Hex(HmacSha256(AsBytes(key), AsBytes(to_sign)));
}

bool MustBeSigned(const std::string& name) {
  return name == "host" || name == "content-md5" || name.starts_with("x-amz-");
}

}  // namespace

std::optional<ServerResponse> FakeS3::Refuse(const ServerRequest& request) const {
  const std::string authorization = request.header("authorization");
  if (!authorization.starts_with("AWS4-HMAC-SHA256 ")) return ErrorAnswer(403, "AccessDenied");
  const auto scope = Split(Field(authorization, "Credential"), '/');
  if (scope.size() != 5) return ErrorAnswer(400, "AuthorizationHeaderMalformed");
  if (scope[0] != options_.access_key_id) return ErrorAnswer(403, "InvalidAccessKeyId");
  if (request.header("x-amz-security-token") != session_token_) {
    return ErrorAnswer(400, "ExpiredToken");
  }
  if (scope[2] != region_ || scope[3] != "s3" || scope[4] != "aws4_request") {
    auto answer = ErrorAnswer(400, "AuthorizationHeaderMalformed",
                              fmt::format("<Region>{}</Region>", region_));
    answer.headers.push_back({.name = "x-amz-bucket-region", .value = region_});
    return answer;
  }
  const std::string date = request.header("x-amz-date");
  const auto sent = ParseAmzDate(date);
  if (!sent || date.substr(0, 8) != scope[1]) return ErrorAnswer(403, "AccessDenied");
  const auto skew = *sent - clock_.Now();
  if (skew > std::chrono::minutes(15) || skew < -std::chrono::minutes(15)) {
    auto answer = ErrorAnswer(403, "RequestTimeTooSkewed");
    answer.headers.push_back({.name = "date", .value = HttpDate(clock_.Now())});
    return answer;
  }

  const std::string hash = request.header("x-amz-content-sha256");
  if (hash.empty()) return ErrorAnswer(400, "MissingSecurityHeader");
  if (hash != "UNSIGNED-PAYLOAD" && hash != Hex(Sha256(request.body))) {
    return ErrorAnswer(400, "XAmzContentSHA256Mismatch");
  }
  const auto names = Split(Field(authorization, "SignedHeaders"), ';');
  for (const auto& header : request.headers) {
    if (MustBeSigned(header.name) && std::ranges::find(names, header.name) == names.end()) {
      return ErrorAnswer(403, "AccessDenied");
    }
  }
  std::string lines;
  for (const std::string& name : names) {
    lines += name + ":" + Trimmed(request.header(name)) + "\n";
  }
  const auto path = http::PercentDecode(request.path);
  const std::string canonical =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method,
                  http::PercentEncode(path.value_or("?"), http::Slash::kKeep),
                  CanonicalQuery(request.query), lines, fmt::join(names, ";"), hash);
  const std::string to_sign =
      fmt::format("AWS4-HMAC-SHA256\n{}\n{}/{}/{}/{}\n{}", date, scope[1], scope[2], scope[3],
                  scope[4], Hex(Sha256(AsBytes(canonical))));
  if (!std::ranges::is_sorted(names) ||
      Field(authorization, "Signature") != Sign(options_, scope, to_sign)) {
    return ErrorAnswer(403, "SignatureDoesNotMatch");
  }
  return std::nullopt;
}

}  // namespace runnel::testing
