#include "store/s3/location.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "http/uri.h"
#include "store/s3/endpoint.h"

namespace runnel::store::s3 {
namespace {

constexpr std::string_view kScheme = "s3://";

// "force-path-style" of "forcePathStyle".
std::string Hyphened(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c >= 'A' && c <= 'Z') {
      out += '-';
      out += static_cast<char>(c - 'A' + 'a');
    } else {
      out += c;
    }
  }
  // The digits of MD5 are in capitals.
  if (const std::size_t md5 = out.find("-m-d5"); md5 != out.npos) out.replace(md5, 5, "-md5");
  return out;
}

Result<bool> ParseTruth(const std::string& name, const std::string& text) {
  if (text == "true" || text == "1" || text == "yes") return true;
  if (text == "false" || text == "0" || text == "no") return false;
  return Fail(Errc::kInvalidArgument, fmt::format("{}={}: true or false", name, text));
}

Result<std::uint64_t> ParseNumber(const std::string& name, const std::string& text,
                                  std::uint64_t min) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < min) {
    return Fail(Errc::kInvalidArgument,
                fmt::format("{}={}: a number, at least {}", name, text, min));
  }
  return value;
}

Result<void> ApplyParameter(const std::string& name, const std::string& value, Settings& out) {
  const std::string key = Hyphened(name);
  if (key == "endpoint") {
    out.endpoint = WithScheme(value);
  } else if (key == "region") {
    out.region = value;
  } else if (key == "force-path-style") {
    RUNNEL_TRY(const bool path, ParseTruth(name, value));
    out.addressing = path ? Addressing::kPath : Addressing::kVirtualHost;
  } else if (key == "skip-verify") {
    RUNNEL_TRY(const bool skip, ParseTruth(name, value));
    out.transport.peer_check = skip ? http::PeerCheck::kSkip : http::PeerCheck::kVerify;
  } else if (key == "sign-payload") {
    RUNNEL_TRY(const bool sign, ParseTruth(name, value));
    out.payload_signing = sign ? PayloadSigning::kSigned : PayloadSigning::kUnsigned;
  } else if (key == "require-content-md5") {
    RUNNEL_TRY(const bool md5, ParseTruth(name, value));
    out.delete_checksum = md5 ? DeleteChecksum::kContentMd5 : DeleteChecksum::kNone;
  } else if (key == "storage-class") {
    out.storage_class = value;
  } else if (key == "part-size") {
    RUNNEL_TRY(out.part_size_bytes, ParseNumber(name, value, kPartSizeMin));
  } else if (key == "concurrency") {
    RUNNEL_TRY(const std::uint64_t count, ParseNumber(name, value, 1));
    out.parts_in_flight = static_cast<unsigned>(std::min<std::uint64_t>(count, 64));
  } else if (key == "sse-customer-key") {
    RUNNEL_TRY(out.customer_key, MakeCustomerKey(value));
  } else if (key == "sse-customer-algorithm") {
    if (value != "AES256") return Fail(Errc::kInvalidArgument, name + ": AES256 is what there is");
  } else if (key == "sse-customer-key-md5") {
    // Worked out from the key.
  } else if (key == "sse-kms-key-id") {
    out.kms_key_id = value;
  } else if (key == "ca-file") {
    out.transport.ca_file = value;
  } else {
    return Fail(Errc::kInvalidArgument, fmt::format("{}: not a parameter of an s3 URL", name));
  }
  return {};
}

// A bucket in a host that names provider and region.
struct HostForm {
  std::string_view marker;  // the bucket ends where this begins
  std::string_view suffix;
  Addressing addressing;
};

constexpr HostForm kHostForms[] = {
    {".s3.", ".backblazeb2.com", Addressing::kPath},
    {".s3.", ".scw.cloud", Addressing::kVirtualHost},
    {".", ".digitaloceanspaces.com", Addressing::kVirtualHost},
    {".s3.filebase.com", ".s3.filebase.com", Addressing::kPath},
};

// What stands between `start` and `end` of `text`; empty if it does not hold both.
std::string Between(std::string_view text, std::string_view start, std::string_view end) {
  const std::size_t from = text.find(start);
  if (from == text.npos || !text.ends_with(end)) return "";
  if (from + start.size() + end.size() > text.size()) return "";
  return std::string(
      text.substr(from + start.size(), text.size() - from - start.size() - end.size()));
}

// True if `host` was of one of these forms.
bool ApplyKnownHost(const std::string& host, Settings& out) {
  for (const std::string_view suffix : {".amazonaws.com", ".amazonaws.com.cn"}) {
    const std::size_t marker = host.rfind(".s3");
    if (!host.ends_with(suffix) || marker == 0 || marker == host.npos) continue;
    const std::string between = Between(host.substr(marker), ".s3", suffix);
    if (!between.empty() && between.front() != '.' && between.front() != '-') continue;
    out.bucket = host.substr(0, marker);
    if (!between.empty()) out.region = between.substr(1);
    return true;
  }
  for (const HostForm& form : kHostForms) {
    const std::size_t marker = host.find(form.marker);
    if (!host.ends_with(form.suffix) || marker == host.npos || marker == 0) continue;
    out.bucket = host.substr(0, marker);
    out.endpoint = "https://" + host.substr(marker + 1);
    out.region = Between(host, form.marker, form.suffix);
    out.addressing = form.addressing;
    return true;
  }
  return false;
}

Result<void> ApplyHost(const std::string& authority, Settings& out) {
  if (ApplyKnownHost(authority, out)) return {};
  const std::size_t colon = authority.rfind(':');
  if (colon == authority.npos) {
    out.bucket = authority;
    return {};
  }
  // "bucket.host:port": a server of one's own.
  const std::size_t dot = authority.find('.');
  if (dot == authority.npos || dot > colon) {
    return Fail(Errc::kInvalidArgument,
                fmt::format("{}: a host with a port has the bucket before it: "
                            "s3://bucket.localhost:9000/path",
                            authority));
  }
  out.bucket = authority.substr(0, dot);
  out.endpoint = "http://" + authority.substr(dot + 1);
  out.addressing = Addressing::kPath;
  return {};
}

// "arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME[/PATH]": the third slash begins the path.
void SplitArn(std::string_view text, Settings& out, std::optional<std::string>& path) {
  const std::size_t name = text.find("accesspoint/");
  const std::size_t slash = name == text.npos
                                ? text.find('/')
                                : text.find('/', name + std::string_view("accesspoint/").size());
  out.bucket = text.substr(0, slash);
  if (slash != text.npos) path = text.substr(slash + 1);
}

// As Go's path.Clean() does it, without a slash at the front.
std::string Cleaned(std::string_view path) {
  std::vector<std::string_view> kept;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    if (part.empty() || part == ".") continue;
    if (part == ".." && !kept.empty()) {
      kept.pop_back();
    } else if (part != "..") {
      kept.push_back(part);
    }
  }
  return fmt::format("{}", fmt::join(kept, "/"));
}

}  // namespace

Result<Settings> ParseS3Url(std::string_view url) {
  Settings settings;
  if (!url.starts_with(kScheme)) return Fail(Errc::kInvalidArgument, "not a URL of s3");
  std::string_view rest = url.substr(kScheme.size());
  const std::size_t question = std::min(rest.find('?'), rest.size());
  const auto query = http::ParseQuery(rest.substr(std::min(question + 1, rest.size())));
  if (!query) {
    return Fail(Errc::kInvalidArgument,
                "a '%' in the parameters of an s3 URL must be followed by two hex digits");
  }
  rest = rest.substr(0, question);
  std::optional<std::string> path;
  if (rest.starts_with("arn:")) {
    SplitArn(rest, settings, path);
  } else {
    const std::size_t slash = rest.find('/');
    const std::string authority(rest.substr(0, slash));
    if (authority.empty()) return Fail(Errc::kInvalidArgument, "an s3 URL names a bucket");
    if (authority.contains('@')) {
      return Fail(Errc::kInvalidArgument,
                  "keys do not belong into an s3 URL: set AWS_ACCESS_KEY_ID and "
                  "AWS_SECRET_ACCESS_KEY");
    }
    RUNNEL_TRY_VOID(ApplyHost(authority, settings));
    if (slash != rest.npos)
      path =
          http::PercentDecode(rest.substr(slash + 1)).value_or(std::string(rest.substr(slash + 1)));
  }
  for (const auto& [name, value] : *query) {
    RUNNEL_TRY_VOID(ApplyParameter(name, value, settings));
  }
  settings.key_prefix = path ? Cleaned(*path) + "/" : "./";
  return settings;
}

}  // namespace runnel::store::s3
