#include "store/s3/failure.h"

#include <fmt/format.h>

#include <algorithm>

namespace runnel::store::s3 {
namespace {

// What an error of S3 is to us. `{b}` in a cure is the bucket.
struct Meaning {
  std::string_view s3_code;
  Errc code;
  std::string_view cure = "";
};

constexpr std::string_view kDenied =
    "these credentials may not do that: the policy needs s3:GetObject, s3:PutObject, "
    "s3:ListBucket and, for retention, s3:DeleteObject on this bucket and path";

constexpr Meaning kMeanings[] = {
    {"NoSuchKey", Errc::kNotFound},
    {"NoSuchUpload", Errc::kNotFound},
    {"NoSuchBucket", Errc::kInvalidArgument,
     "make the bucket, or correct its name, its region or the endpoint"},
    {"InvalidBucketName", Errc::kInvalidArgument, "correct the name of the bucket"},
    {"AccessDenied", Errc::kPermissionDenied, kDenied},
    {"AllAccessDisabled", Errc::kPermissionDenied, "the provider has closed this bucket"},
    {"InvalidAccessKeyId", Errc::kPermissionDenied,
     "this store does not know the access key: correct access-key-id, or the endpoint"},
    {"SignatureDoesNotMatch", Errc::kPermissionDenied,
     "correct secret-access-key; if it is right, a proxy may be changing requests on the way"},
    {"ExpiredToken", Errc::kPermissionDenied,
     "the session token has expired, and there is no newer one: renew it"},
    {"TokenRefreshRequired", Errc::kPermissionDenied, "renew the session token"},
    {"InvalidToken", Errc::kPermissionDenied,
     "the session token does not belong to the access key: set both anew"},
    {"RequestTimeTooSkewed", Errc::kPermissionDenied, "set the clock of this machine (NTP)"},
    {"RequestExpired", Errc::kPermissionDenied, "set the clock of this machine (NTP)"},
    {"AuthorizationHeaderMalformed", Errc::kInvalidArgument, "correct the region"},
    {"InvalidRegion", Errc::kInvalidArgument, "correct the region"},
    {"PermanentRedirect", Errc::kInvalidArgument, "correct the region or the endpoint"},
    {"KMS.NotFoundException", Errc::kInvalidArgument, "correct sse-kms-key-id"},
    {"KMS.DisabledException", Errc::kPermissionDenied, "enable the key of sse-kms-key-id"},
    {"InvalidStorageClass", Errc::kInvalidArgument, "correct storage-class"},
    {"InvalidObjectState", Errc::kUnavailable,
     "the object is in an archive class: have it restored, then try again"},
    {"EntityTooLarge", Errc::kInvalidArgument, "make part-size smaller"},
    {"EntityTooSmall", Errc::kInvalidArgument, "part-size must be at least 5 MiB"},
    {"QuotaExceeded", Errc::kNoSpace, "raise the quota, or make room"},
    {"XMinioStorageFull", Errc::kNoSpace, "make room in the store"},
    {"InsufficientCapacity", Errc::kNoSpace, "make room in the store"},
    {"PreconditionFailed", Errc::kPreconditionFailed},
    // Two conditional writes met; neither is known to have lost.
    {"ConditionalRequestConflict", Errc::kBusy},
    {"OperationAborted", Errc::kBusy},
    {"SlowDown", Errc::kUnavailable},
    {"ServiceUnavailable", Errc::kUnavailable},
    {"InternalError", Errc::kUnavailable},
    {"RequestTimeout", Errc::kTimedOut},
    {"RequestTimeTooLate", Errc::kTimedOut},
    // The body was changed on the way, or cut: the next try may be whole.
    {"BadDigest", Errc::kIo},
    {"XAmzContentSHA256Mismatch", Errc::kIo},
    {"IncompleteBody", Errc::kIo},
    {"NotImplemented", Errc::kUnsupported},
    {"MethodNotAllowed", Errc::kUnsupported},
};

Meaning MeaningOfStatus(int status) {
  switch (status) {
    case 401:
    case 403: return {"", Errc::kPermissionDenied, kDenied};
    case 404: return {"", Errc::kNotFound};
    case 405:
    case 501: return {"", Errc::kUnsupported};
    case 408: return {"", Errc::kTimedOut};
    case 409: return {"", Errc::kBusy};
    case 412: return {"", Errc::kPreconditionFailed};
    case 425:
    case 429: return {"", Errc::kUnavailable};
    case 507: return {"", Errc::kNoSpace, "make room in the store"};
    default: break;
  }
  if (status >= 500) return {"", Errc::kUnavailable};
  if (status >= 300 && status < 400) {
    return {"", Errc::kInvalidArgument, "correct the region or the endpoint"};
  }
  if (status < 300) return {"", Errc::kCorruption};
  return {"", Errc::kInvalidArgument};
}

Meaning MeaningOf(const Refusal& refusal) {
  const auto* known = std::ranges::find(kMeanings, refusal.body.code, &Meaning::s3_code);
  return known != std::end(kMeanings) ? *known : MeaningOfStatus(refusal.status);
}

}  // namespace

Refusal RefusalOf(const http::Response& response) {
  Refusal refusal{.status = response.status, .body = {}};
  if (auto body = ParseError(response.body)) refusal.body = *std::move(body);
  return refusal;
}

Errc CodeOf(const Refusal& refusal) { return MeaningOf(refusal).code; }

Error FailureOf(const Operation& operation, const Refusal& refusal) {
  const Meaning meaning = MeaningOf(refusal);
  const std::string what =
      operation.key.empty() ? std::string("the bucket") : "'" + operation.key + "'";
  std::string text = fmt::format("bucket {} at {}: {} of {}: ", operation.bucket,
                                 operation.endpoint, operation.name, what);
  if (refusal.body.code.empty()) {
    text += fmt::format("status {}", refusal.status);
  } else {
    text += fmt::format("{} ({})", refusal.body.code, refusal.status);
  }
  if (!refusal.body.message.empty()) text += ": " + refusal.body.message;
  if (!meaning.cure.empty()) fmt::format_to(std::back_inserter(text), "; {}", meaning.cure);
  if (!refusal.body.request_id.empty() && meaning.code != Errc::kNotFound) {
    fmt::format_to(std::back_inserter(text), " (request {})", refusal.body.request_id);
  }
  return {meaning.code, std::move(text)};
}

}  // namespace runnel::store::s3
