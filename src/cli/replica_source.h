// The replicas that an argument of a command names: a URL, or a database of the configuration.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/command.h"
#include "cli/s3_stores.h"
#include "config/config.h"
#include "restore/restore.h"
#include "store/layout.h"
#include "store/object_store.h"

namespace runnel::cli {

struct ConfigFlags {
  std::string path;  // empty: LITESTREAM_CONFIG, else /etc/litestream.yml
  Switch no_expand_env = Switch::kOff;

  void AddTo(FlagSet& flags);
};

// Reads and checks the configuration file. Warnings go to standard error, every error is in the
// message.
Result<config::Config> LoadConfig(Process& process, const ConfigFlags& flags);

bool IsReplicaUrl(const std::string& argument);

// A replica of which a URL is all that is known: "file:///srv/backup/app", "s3://bucket/app". Other
// schemes: kUnsupported, with a hint.
Result<config::Replica> ReplicaOfUrl(const std::string& url);

// Opened replicas of one database. A value that owns what its destinations refer to.
class ReplicaSources {
 public:
  // `argument` is a URL, or the path of a database in the configuration.
  static Result<ReplicaSources> Open(Process& process, const std::string& argument,
                                     const ConfigFlags& config);

  std::vector<restore::Destination> destinations() const;
  // Of the database in the configuration; empty for a URL.
  const std::string& database_path() const { return database_path_; }

 private:
  struct Replica {
    std::string name;
    std::shared_ptr<store::ObjectStore> store;
    std::unique_ptr<store::ReplicaLayout> layout;
  };

  explicit ReplicaSources(Process& process);
  Result<void> Add(Process& process, const config::Replica& replica, const fs::Path& relative,
                   std::string name);

  std::unique_ptr<NullLogger> log_;
  std::unique_ptr<S3Stores> s3_;  // outlives the stores
  std::string database_path_;
  std::vector<Replica> replicas_;
};

}  // namespace runnel::cli
