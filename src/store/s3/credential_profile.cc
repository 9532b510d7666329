// The files of AWS's command line: ~/.aws/credentials and ~/.aws/config.

#include <fmt/format.h>

#include "fs/file_operations.h"
#include "store/s3/credential_providers.h"

namespace runnel::store::s3 {
namespace {

constexpr std::size_t kFileSizeMax = 1 << 20;
constexpr int kRolesMax = 5;  // of one that needs another

using Profile = Variables;
using Profiles = std::map<std::string, Profile, std::less<>>;

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

// "[name]" of credentials, "[profile name]" of config; what came first stays.
void AddProfiles(std::string_view text, Profiles& out) {
  Profile* current = nullptr;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view raw = text.substr(0, end);
    const std::string_view line = Trimmed(raw);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      std::string_view name = Trimmed(line.substr(1, line.find(']') - 1));
      if (name.starts_with("profile ")) name = Trimmed(name.substr(8));
      current = &out[std::string(name)];
      continue;
    }
    const std::size_t equals = line.find('=');
    // An indented line belongs to a service's settings.
    if (current == nullptr || equals == line.npos || raw.front() == ' ' || raw.front() == '\t') {
      continue;
    }
    current->emplace(Trimmed(line.substr(0, equals)), Trimmed(line.substr(equals + 1)));
  }
}

Result<void> AddFile(const ChainWorld& world, std::string_view variable, std::string_view name,
                     Profiles& out) {
  std::string path = Variable(world, variable);
  if (path.empty()) {
    const std::string home = Variable(world, "HOME");
    if (home.empty()) return {};
    path = fmt::format("{}/.aws/{}", home, name);
  }
  auto text = fs::ReadFile(world.fs, path, kFileSizeMax);
  if (!text) {
    // What this user may not read is not this user's.
    const Errc code = text.error().code();
    if (code == Errc::kNotFound || code == Errc::kPermissionDenied) return {};
    return Fail(std::move(text).error());
  }
  AddProfiles(AsText(*text), out);
  return {};
}

Result<Profiles> ReadProfiles(const ChainWorld& world) {
  Profiles profiles;
  RUNNEL_TRY_VOID(AddFile(world, "AWS_SHARED_CREDENTIALS_FILE", "credentials", profiles));
  RUNNEL_TRY_VOID(AddFile(world, "AWS_CONFIG_FILE", "config", profiles));
  return profiles;
}

std::string ProfileName(const ChainWorld& world) {
  std::string name = Variable(world, "AWS_PROFILE");
  if (name.empty()) name = Variable(world, "AWS_DEFAULT_PROFILE");
  return name.empty() ? "default" : name;
}

std::string ValueOf(const Profile& profile, std::string_view name) {
  const auto found = profile.find(name);
  return found != profile.end() ? found->second : "";
}

// Reads profiles that point to each other.
class ProfileReader {
 public:
  ProfileReader(const ChainWorld& world, const Profiles& profiles)
      : world_(world), profiles_(profiles) {}

  Result<std::optional<Credentials>> Read(const std::string& name, int depth) {
    const auto found = profiles_.find(name);
    if (found == profiles_.end()) return std::nullopt;
    const Profile& profile = found->second;
    auto credentials = ReadOne(profile, name, depth);
    if (!credentials) return Fail(std::move(credentials).error().Context("profile " + name));
    return credentials;
  }

 private:
  Result<std::optional<Credentials>> ReadOne(const Profile& profile, const std::string& name,
                                             int depth) {
    const std::string role_arn = ValueOf(profile, "role_arn");
    const std::string region = ValueOf(profile, "region");
    const std::string token_file = ValueOf(profile, "web_identity_token_file");
    if (!role_arn.empty() && !token_file.empty()) {
      return AssumeRoleWithWebIdentity(world_,
                                       {.role_arn = role_arn,
                                        .session_name = ValueOf(profile, "role_session_name"),
                                        .token_file = token_file},
                                       region);
    }
    if (!role_arn.empty() && depth < kRolesMax) {
      RUNNEL_TRY(const auto own, SourceOf(profile, name, depth));
      if (!own) return Fail(Errc::kPermissionDenied, "nobody is there to take the role");
      return AssumeRole(world_,
                        {.arn = role_arn,
                         .session_name = ValueOf(profile, "role_session_name"),
                         .external_id = ValueOf(profile, "external_id")},
                        *own, region);
    }
    return ReadKeys(profile);
  }

  // Who takes the role of a profile.
  Result<std::optional<Credentials>> SourceOf(const Profile& profile, const std::string& name,
                                              int depth) {
    const std::string source = ValueOf(profile, "credential_source");
    if (source == "Environment") return FromEnvironment(world_);
    if (source == "EcsContainer") return FromContainer(world_);
    if (source == "Ec2InstanceMetadata") return FromInstance(world_);
    const std::string other = ValueOf(profile, "source_profile");
    if (other.empty() || other == name) return ReadKeys(profile);
    return Read(other, depth + 1);
  }

  Result<std::optional<Credentials>> ReadKeys(const Profile& profile) {
    const std::string id = ValueOf(profile, "aws_access_key_id");
    const std::string secret = ValueOf(profile, "aws_secret_access_key");
    if (!id.empty() && !secret.empty()) {
      return Credentials{.access_key_id = id,
                         .secret_access_key = Redacted(secret),
                         .session_token = Redacted(ValueOf(profile, "aws_session_token"))};
    }
    if (const std::string command = ValueOf(profile, "credential_process"); !command.empty()) {
      RUNNEL_TRY(const std::string text, world_.run_command(command));
      return ParseCredentialsJson(text, "credential_process");
    }
    if (!ValueOf(profile, "sso_session").empty() || !ValueOf(profile, "sso_start_url").empty()) {
      return Fail(Errc::kUnsupported,
                  "its login is for people (SSO), and ends while nobody looks: give the daemon "
                  "keys, a role, or credential_process = aws configure export-credentials");
    }
    return std::nullopt;
  }

  const ChainWorld& world_;
  const Profiles& profiles_;
};

}  // namespace

Result<std::optional<Credentials>> FromProfile(const ChainWorld& world) {
  RUNNEL_TRY(const Profiles profiles, ReadProfiles(world));
  const std::string name = ProfileName(world);
  if (!profiles.contains(name) && !Variable(world, "AWS_PROFILE").empty()) {
    return Fail(
        Errc::kPermissionDenied,
        fmt::format("there is no profile {} in ~/.aws/credentials and ~/.aws/config", name));
  }
  return ProfileReader(world, profiles).Read(name, 0);
}

std::string DefaultRegion(const ChainWorld& world) {
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (std::string region = Variable(world, name); !region.empty()) return region;
  }
  const auto profiles = ReadProfiles(world);
  if (!profiles) return "";
  const auto found = profiles->find(ProfileName(world));
  return found != profiles->end() ? ValueOf(found->second, "region") : "";
}

}  // namespace runnel::store::s3
