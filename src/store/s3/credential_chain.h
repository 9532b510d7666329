// Credentials from where AWS's own programs look for them, in their order:
//
//   1. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
//   2. a web identity: AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN
//   3. the profile AWS_PROFILE, else "default", of ~/.aws/credentials and ~/.aws/config: keys,
//      credential_process, role_arn with source_profile or credential_source, web identity
//   4. the container: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or .._FULL_URI
//   5. the instance's metadata (IMDSv2), unless AWS_EC2_METADATA_DISABLED is true
//
// The first that has some decides; one that is configured and fails is an error, and not passed
// over. Credentials that expire are renewed five minutes before; if that fails they are used for as
// long as they are valid.

#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "fs/file_system.h"
#include "http/client.h"
#include "store/s3/credentials.h"

namespace runnel::store::s3 {

using Variables = std::map<std::string, std::string, std::less<>>;

// What the chain reaches the world by. All of it outlives the chain.
struct ChainWorld {
  Variables environment;
  fs::FileSystem& fs;
  http::Client& http;
  Clock& clock;
  // Runs a command by the shell and returns what it wrote to its standard output.
  std::function<Result<std::string>(const std::string&)> run_command;
};

// Nothing is asked before the first Get().
std::unique_ptr<CredentialsSource> MakeCredentialChain(const ChainWorld& world);

// AWS_REGION, AWS_DEFAULT_REGION, or that of the profile; else empty.
std::string DefaultRegion(const ChainWorld& world);

}  // namespace runnel::store::s3
