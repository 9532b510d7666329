// Which host is asked, and by which path.

#pragma once

#include <string>

#include "base/result.h"
#include "store/s3/settings.h"

namespace runnel::store::s3 {

// A bucket as it is reached.
struct Endpoint {
  std::string scheme;       // "https"
  std::string authority;    // goes into the header Host
  std::string path_prefix;  // encoded, without a slash at the end: "", "/bucket"

  // The path of a key, encoded; "/" or "/bucket/" for the bucket itself.
  std::string PathOf(const std::string& key) const;
};

// kInvalidArgument, kUnsupported (kinds of access points).
Result<Endpoint> ResolveEndpoint(const Settings& settings, const std::string& region);

// The region that an ARN names; empty if `bucket` is none.
std::string RegionOfArn(const std::string& bucket);

// What is known of a provider by its host: style, number of parts, odd headers. What the settings
// say already is left.
void ApplyProvider(Settings& settings);

// "http://..." for loopback and private addresses, else "https://..", if `endpoint` has no scheme.
std::string WithScheme(const std::string& endpoint);

}  // namespace runnel::store::s3
