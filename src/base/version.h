// What this program was built from. Whoever uses it links runnel_version: no other library knows
// the commit, so that a commit does not rebuild them.

#pragma once

#include <string_view>

namespace runnel {

struct BuildInfo {
  std::string_view version;     // "0.1.0"
  std::string_view commit;      // abbreviated, "-dirty" if the sources differed; or "unknown"
  std::string_view build_type;  // "Release", "Debug"
};

BuildInfo GetBuildInfo();

}  // namespace runnel
