// From what is written of a replica in S3 to what store/s3 is told.

#pragma once

#include <string>

#include "base/result.h"
#include "cli/command.h"
#include "config/config.h"
#include "store/s3/settings.h"

namespace runnel::cli {

// `relative`: of a database below its directory, appended to the path; empty for a single one.
// kInvalidArgument, with the cure. The environment's part (endpoint, certificates) is in it, but
// for region and credentials.
Result<store::s3::Settings> S3SettingsOf(Process& process, const config::Replica& replica,
                                         const fs::Path& relative);

// A replica of which only the URL is known.
config::Replica S3ReplicaOfUrl(const std::string& url);

}  // namespace runnel::cli
