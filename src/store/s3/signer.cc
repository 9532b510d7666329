#include "store/s3/signer.h"

#include <fmt/format.h>

#include <algorithm>

#include "store/s3/digest.h"

namespace runnel::store::s3 {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view kTerminator = "aws4_request";

// Without blanks at the ends, and one for each run of them within.
std::string Collapsed(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == ' ' || c == '\t') {
      if (!out.empty() && out.back() != ' ') out += ' ';
    } else {
      out += c;
    }
  }
  if (out.ends_with(' ')) out.pop_back();
  return out;
}

struct CanonicalHeaders {
  std::string lines;
  std::string names;  // "host;x-amz-date"
};

CanonicalHeaders Canonical(const http::Headers& headers) {
  std::vector<const http::Header*> sorted;
  for (const http::Header& header : headers) sorted.push_back(&header);
  std::ranges::sort(sorted, {},
                    [](const http::Header* h) -> const std::string& { return h->name; });
  CanonicalHeaders canonical;
  for (const http::Header* header : sorted) {
    fmt::format_to(std::back_inserter(canonical.lines), "{}:{}\n", header->name,
                   Collapsed(header->value));
    if (!canonical.names.empty()) canonical.names += ';';
    canonical.names += header->name;
  }
  return canonical;
}

Sha256Digest SigningKey(const Credentials& credentials, const SigningScope& scope,
                        std::string_view date) {
  const std::string secret = "AWS4" + credentials.secret_access_key.Reveal();
  Sha256Digest key = HmacSha256(AsBytes(secret), AsBytes(date));
  for (const std::string_view part :
       {std::string_view(scope.region), std::string_view(scope.service), kTerminator}) {
    key = HmacSha256(key, AsBytes(part));
  }
  return key;
}

}  // namespace

std::string FormatAmzDate(WallTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::seconds>(time - day));
  return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

std::string Authorization(const RequestToSign& request, const Credentials& credentials,
                          const SigningScope& scope, WallTime time) {
  const CanonicalHeaders headers = Canonical(request.headers);
  const std::string canonical =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method, request.path, request.query,
                  headers.lines, headers.names, request.payload_hash);
  const std::string time_text = FormatAmzDate(time);
  const std::string_view date = std::string_view(time_text).substr(0, 8);
  const std::string scope_text =
      fmt::format("{}/{}/{}/{}", date, scope.region, scope.service, kTerminator);
  const std::string to_sign = fmt::format("{}\n{}\n{}\n{}", kAlgorithm, time_text, scope_text,
                                          Hex(Sha256(AsBytes(canonical))));
  const Sha256Digest signature = HmacSha256(SigningKey(credentials, scope, date), AsBytes(to_sign));
  return fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", kAlgorithm,
                     credentials.access_key_id, scope_text, headers.names, Hex(signature));
}

}  // namespace runnel::store::s3
