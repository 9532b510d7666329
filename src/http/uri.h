// Percent-encoding, in the one form that signatures over URLs are made of.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace runnel::http {

enum class Slash : std::uint8_t { kEncode, kKeep };

// All bytes but A-Z a-z 0-9 - . _ ~ as %XX in upper case.
std::string PercentEncode(std::string_view text, Slash slash = Slash::kEncode);

// Nothing for a '%' without two hex digits behind it. '+' stays what it is.
std::optional<std::string> PercentDecode(std::string_view text);

using Query = std::vector<std::pair<std::string, std::string>>;

// "a=1&b=": encoded, and sorted by the encoded names, then values.
std::string EncodeQuery(const Query& query);

// The parameters of "a=1&b=x%20y&c", decoded; nothing if one cannot be.
std::optional<Query> ParseQuery(std::string_view text);

struct Url {
  std::string scheme;     // in lower case
  std::string authority;  // "host[:port]", as it goes into the header Host
  std::string path;       // from the first '/', without the query; may be empty
  std::string query;      // without the '?'

  // "127.0.0.1", "::1" without brackets.
  std::string host() const;
};

// Nothing if `text` is no "scheme://authority[/path][?query]". User information is not taken.
std::optional<Url> ParseUrl(std::string_view text);

}  // namespace runnel::http
