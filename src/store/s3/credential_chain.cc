#include "store/s3/credential_chain.h"

#include <mutex>
#include <utility>

#include "store/s3/credential_providers.h"

namespace runnel::store::s3 {
namespace {

constexpr std::chrono::minutes kRenewBefore{5};

class Chain final : public CredentialsSource {
 public:
  explicit Chain(const ChainWorld& world) : world_(world) {}

  Result<Credentials> Get() override {
    const std::lock_guard lock(mutex_);
    if (current_ && !IsOlderThan(*current_, kRenewBefore)) return *current_;
    auto fetched = Fetch();
    if (fetched) {
      current_ = *fetched;
      return fetched;
    }
    if (current_ && !IsOlderThan(*current_, std::chrono::minutes(0))) return *current_;
    return fetched;
  }

  void Reject(const Credentials& credentials) override {
    const std::lock_guard lock(mutex_);
    if (current_ == credentials) current_.reset();
  }

 private:
  bool IsOlderThan(const Credentials& credentials, std::chrono::minutes margin) {
    return credentials.expires && *credentials.expires - margin <= world_.clock.Now();
  }

  Result<Credentials> Fetch() {
    constexpr Provider kProviders[] = {FromEnvironment, FromWebIdentity, FromProfile, FromContainer,
                                       FromInstance};
    for (const Provider provider : kProviders) {
      RUNNEL_TRY(auto found, provider(world_));
      if (found) return *std::move(found);
    }
    return Fail(Errc::kPermissionDenied,
                "there are no credentials: neither access-key-id and secret-access-key in the "
                "configuration, nor AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, nor a profile in "
                "~/.aws, nor a role of the container or the instance");
  }

  const ChainWorld world_;
  std::mutex mutex_;                    // held while they are fetched: one asks for all
  std::optional<Credentials> current_;  // under mutex_
};

}  // namespace

std::unique_ptr<CredentialsSource> MakeCredentialChain(const ChainWorld& world) {
  return std::make_unique<Chain>(world);
}

}  // namespace runnel::store::s3
