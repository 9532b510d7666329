// Values that must never be read by people: passwords, keys, and URLs that carry them.

#pragma once

#include <fmt/format.h>

#include <ostream>
#include <string>
#include <string_view>
#include <utility>

namespace runnel {

// Formats as "***" wherever it goes: fmt, streams, logs, test failures. It does not turn into a
// string by itself.
class Redacted {
 public:
  Redacted() = default;
  explicit Redacted(std::string secret) : secret_(std::move(secret)) {}

  // For the one who needs it: the client that signs a request, the comparison of two of them.
  const std::string& Reveal() const { return secret_; }
  bool empty() const { return secret_.empty(); }

  friend bool operator==(const Redacted&, const Redacted&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Redacted&) { return out << "***"; }

 private:
  std::string secret_;
};

// `url` as it may be shown: user and password, the value of each query parameter that is not known
// to be harmless, and the fragment become "***". Also for text that is hardly a URL: what could be
// a password is taken for one. A plain path comes back as it is.
std::string RedactUrl(std::string_view url);

}  // namespace runnel

template <>
struct fmt::formatter<runnel::Redacted> : fmt::formatter<fmt::string_view> {
  template <class Context>
  auto format(const runnel::Redacted&, Context& context) const {
    return fmt::formatter<fmt::string_view>::format("***", context);
  }
};
