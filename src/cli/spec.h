// From the configuration, or the command line, to what a daemon is told to keep.

#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cli/command.h"
#include "cli/s3_stores.h"
#include "config/config.h"
#include "server/daemon.h"
#include "server/managed_database.h"

namespace runnel::cli {

// `arguments`: a database and its replica URLs.
Result<config::Config> ConfigForArguments(Process& process,
                                          const std::vector<std::string>& arguments);

server::DaemonOptions DaemonOptionsOf(const config::Config& config);

// One entry a database; the databases of a directory are those that are there now. `s3` outlives
// the entries.
Result<std::vector<server::DatabaseSpec>> SpecsOf(Process& process, S3Stores& s3,
                                                  const config::Config& config);

// For each directory with watch: true, what finds its databases. All that is given outlives them.
std::vector<server::FollowedDirectory> WatchedDirectories(Process& process, S3Stores& s3,
                                                          const config::Config& config);

}  // namespace runnel::cli
