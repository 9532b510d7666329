// Each place where credentials may be. Nothing if it is not configured; an error if it is, and
// fails.

#pragma once

#include <optional>
#include <string>

#include "store/s3/credential_chain.h"

namespace runnel::store::s3 {

using Provider = Result<std::optional<Credentials>> (*)(const ChainWorld&);

Result<std::optional<Credentials>> FromEnvironment(const ChainWorld& world);
Result<std::optional<Credentials>> FromWebIdentity(const ChainWorld& world);
Result<std::optional<Credentials>> FromProfile(const ChainWorld& world);
Result<std::optional<Credentials>> FromContainer(const ChainWorld& world);
Result<std::optional<Credentials>> FromInstance(const ChainWorld& world);

// Empty if it is not set.
std::string Variable(const ChainWorld& world, std::string_view name);

// A role that an identity of another provider may take.
struct WebIdentity {
  std::string role_arn;
  std::string session_name;
  std::string token_file;
};
Result<Credentials> AssumeRoleWithWebIdentity(const ChainWorld& world, const WebIdentity& identity,
                                              const std::string& region);

struct Role {
  std::string arn;
  std::string session_name;
  std::string external_id;
};
Result<Credentials> AssumeRole(const ChainWorld& world, const Role& role, const Credentials& own,
                               const std::string& region);

// The JSON that containers and instances give, and credential_process prints; they call the token
// differently. `source` is named in errors.
Result<Credentials> ParseCredentialsJson(std::string_view json, std::string_view source);

}  // namespace runnel::store::s3
