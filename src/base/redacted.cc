#include "base/redacted.h"

#include <algorithm>
#include <array>

namespace runnel {
namespace {

constexpr std::string_view kHidden = "***";

constexpr std::array<std::string_view, 16> kHarmlessParameters = {
    "endpoint",     "region",        "forcePathStyle", "force-path-style",  "skipVerify",
    "skip-verify",  "signPayload",   "sign-payload",   "requireContentMD5", "require-content-md5",
    "storageClass", "storage-class", "partSize",       "part-size",         "concurrency",
    "mode"};

// An endpoint may itself be a URL with a password, plain or percent-encoded.
bool MayHoldUserinfo(std::string_view value) {
  return value.contains('@') || value.contains("%40");
}

std::string RedactQuery(std::string_view query) {
  std::string out;
  for (bool first = true;; first = false) {
    const std::size_t end = std::min(query.find_first_of("&;"), query.size());
    const std::string_view parameter = query.substr(0, end);
    const std::size_t equals = parameter.find('=');
    const std::string_view name = parameter.substr(0, equals);
    if (!first) out += '&';
    if (equals == parameter.npos) {
      out += parameter.empty() ? parameter : kHidden;
    } else {
      const std::string_view value = parameter.substr(equals + 1);
      const bool harmless =
          std::ranges::find(kHarmlessParameters, name) != kHarmlessParameters.end() &&
          !MayHoldUserinfo(value);
      out.append(name).append("=").append(harmless ? value : kHidden);
    }
    if (end == query.size()) return out;
    query.remove_prefix(end + 1);
  }
}

// Where the userinfo of `rest` (all behind "://", without query and fragment) ends: at its '@'.
// npos: there is none.
std::size_t UserinfoEnd(std::string_view rest) {
  const std::string_view authority = rest.substr(0, rest.find('/'));
  if (const std::size_t at = authority.rfind('@'); at != authority.npos) return at;
  // "user:pa/ss@host": a password with a bare slash. A ':' that no port follows gives it away.
  const std::size_t colon = authority.rfind(':');
  if (colon == authority.npos) return authority.npos;
  const std::string_view port = authority.substr(colon + 1);
  const bool is_port = std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; });
  return is_port ? authority.npos : rest.rfind('@');
}

}  // namespace

std::string RedactUrl(std::string_view url) {
  const std::size_t scheme_end = url.find("://");
  std::string out;
  if (scheme_end != url.npos) {
    out = url.substr(0, scheme_end + 3);
    url.remove_prefix(scheme_end + 3);
  } else if (!url.substr(0, url.find('/')).contains(':') || UserinfoEnd(url) == url.npos) {
    return std::string(url);  // a path; "user:password@host" is none
  }
  const std::size_t tail = std::min(url.find_first_of("?#"), url.size());
  // A password may hold a bare '?' or '#' too: an '@' behind one, and none before, is taken so.
  std::size_t at = UserinfoEnd(url.substr(0, tail));
  std::string_view place = url.substr(0, tail);
  std::string_view rest = url.substr(tail);
  if (at == place.npos && !place.contains('/') && place.contains(':') && rest.contains('@')) {
    at = url.rfind('@');
    place = url.substr(0, std::min(url.find_first_of("?#", at), url.size()));
    rest = url.substr(place.size());
  }
  if (at != place.npos) {
    out += kHidden;
    place.remove_prefix(at);
  }
  out += place;
  if (rest.starts_with('?')) {
    const std::size_t hash = std::min(rest.find('#'), rest.size());
    out.append("?").append(RedactQuery(rest.substr(1, hash - 1)));
    rest.remove_prefix(hash);
  }
  if (rest.starts_with('#')) out.append("#").append(kHidden);
  return out;
}

}  // namespace runnel
