#include "cli/s3_stores.h"

#include <atomic>

#include "base/version.h"
#include "cli/s3_settings.h"
#include "runtime/shell_command.h"
#include "store/retrying_store.h"
#include "store/s3/endpoint.h"

namespace runnel::cli {

// A store with what only it needs.
struct S3Stores::Stack {
  Stack(store::s3::Settings settings, std::shared_ptr<store::s3::CredentialsSource> source,
        http::Client& http, Process& process, Logger& log,
        std::shared_ptr<store::s3::BucketFacts> facts)
      : credentials(std::move(source)),
        s3(std::move(settings),
           {.http = http,
            .credentials = *credentials,
            .clock = process.clock,
            .random = process.random,
            .log = log},
           std::move(facts)),
        retrying(s3, {}, process.clock, process.random) {
    const auto stop_requested = [this] { return stopped.load(std::memory_order_relaxed); };
    s3.SetStopRequested(stop_requested);
    retrying.SetStopRequested(stop_requested);
  }

  std::atomic<bool> stopped = false;
  const std::shared_ptr<store::s3::CredentialsSource> credentials;
  store::s3::S3Store s3;
  store::RetryingStore retrying;
};

S3Stores::S3Stores(Process& process, Logger& log)
    : process_(process),
      log_(log),
      // Litestream's name is in it, as in Litestream's own: some providers count by it.
      http_({.user_agent =
                 std::string("runnel/") + std::string(GetBuildInfo().version) + " (litestream)"}),
      world_{.environment = process.environment,
             .fs = process.fs,
             .http = http_,
             .clock = process.clock,
             .run_command = &runtime::RunShellCommand},
      chain_(store::s3::MakeCredentialChain(world_)) {}

Result<OpenedS3> S3Stores::Open(const config::Replica& replica, const fs::Path& relative) {
  RUNNEL_TRY(store::s3::Settings settings, S3SettingsOf(process_, replica, relative));
  if (settings.region.empty() && settings.endpoint.empty()) {
    settings.region = store::s3::DefaultRegion(world_);
  }
  auto& facts = facts_[settings.endpoint + " " + settings.bucket];
  if (!facts) facts = std::make_shared<store::s3::BucketFacts>();
  auto stack = std::make_shared<Stack>(std::move(settings), CredentialsOf(replica.s3), http_,
                                       process_, log_, facts);
  store::ObjectStore* const store = &stack->retrying;
  return OpenedS3{.store = {stack, store}, .stop = [stack] { stack->stopped = true; }};
}

std::shared_ptr<store::s3::CredentialsSource> S3Stores::CredentialsOf(const config::S3Keys& keys) {
  if (!keys.access_key_id || !keys.secret_access_key) return chain_;
  return std::make_shared<store::s3::StaticCredentials>(
      store::s3::Credentials{.access_key_id = *keys.access_key_id,
                             .secret_access_key = *keys.secret_access_key,
                             .session_token = keys.session_token.value_or(Redacted())});
}

}  // namespace runnel::cli
