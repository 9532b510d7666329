// Whether a store has conditional writes. The documentation of few says it, and some take the
// header and do not heed it: so it is tried.

#include <fmt/format.h>

#include "store/s3/s3_store.h"

namespace runnel::store::s3 {
namespace {

constexpr std::string_view kProbeBody =
    "Runnel makes this object twice, to see whether this store has conditional writes. Leave it.\n";
// No object's etag.
constexpr std::string_view kForeignEtag = "\"00000000000000000000000000000000\"";

}  // namespace

Result<bool> S3Store::HasConditionalWrites() {
  if (const Answer answer = facts_->conditional_writes; answer != Answer::kUnknown) {
    return answer == Answer::kYes;
  }
  const std::lock_guard lock(facts_->probe_mutex);
  if (const Answer answer = facts_->conditional_writes; answer != Answer::kUnknown) {
    return answer == Answer::kYes;
  }
  RUNNEL_TRY(const bool has_them, ProbeConditionalWrites());
  facts_->conditional_writes = has_them ? Answer::kYes : Answer::kNo;
  if (!has_them) {
    environment_.log.Warn(
        "this store has no conditional writes: two daemons that replicate to one path are noticed "
        "late, and can spoil the replica",
        {{"bucket", settings().bucket}, {"endpoint", settings().endpoint}});
  }
  return has_them;
}

Result<bool> S3Store::ProbeConditionalWrites() {
  RUNNEL_TRY(auto refused, IsRefused("if-none-match", "*"));
  if (refused && !*refused) {
    // It is there now at the latest.
    RUNNEL_TRY(refused, IsRefused("if-none-match", "*"));
  }
  if (!refused || !*refused) return false;
  RUNNEL_TRY(refused, IsRefused("if-match", std::string(kForeignEtag)));
  return refused && *refused;
}

Result<std::optional<bool>> S3Store::IsRefused(const std::string& name, const std::string& value) {
  Call call{.name = "PutObject",
            .method = http::Method::kPut,
            .key = settings().key_prefix + std::string(kProbeKey),
            .headers = ObjectHeaders(environment_.clock.Now()),
            .body = AsBytes(kProbeBody)};
  call.headers.push_back({.name = name, .value = value});
  RUNNEL_TRY(const http::Response response, client_.Send(call));
  if (response.status >= 200 && response.status < 300) return std::optional(false);
  if (response.status == 412) return std::optional(true);
  Error error = client_.Failure(call, response);
  if (error.code() == Errc::kUnsupported) return std::optional<bool>();
  return Fail(std::move(error));
}

}  // namespace runnel::store::s3
