// Who signs: keys, and where they come from.

#pragma once

#include <optional>
#include <string>

#include "base/clock.h"
#include "base/redacted.h"
#include "base/result.h"

namespace runnel::store::s3 {

struct Credentials {
  std::string access_key_id;
  Redacted secret_access_key;
  Redacted session_token = {};  // empty: these are long-lived keys
  std::optional<WallTime> expires = std::nullopt;

  friend bool operator==(const Credentials&, const Credentials&) = default;
};

// Thread-safe.
class CredentialsSource {
 public:
  virtual ~CredentialsSource() = default;

  // May block. kPermissionDenied if there are none, with what was looked for; retryable errors if
  // the one who gives them cannot be reached now.
  virtual Result<Credentials> Get() = 0;

  // The store said that `credentials` have expired or were never valid: do not give them again if
  // there may be others.
  virtual void Reject(const Credentials& credentials) { (void)credentials; }
};

// Always the same.
class StaticCredentials final : public CredentialsSource {
 public:
  explicit StaticCredentials(Credentials credentials) : credentials_(std::move(credentials)) {}
  Result<Credentials> Get() override { return credentials_; }

 private:
  const Credentials credentials_;
};

}  // namespace runnel::store::s3
