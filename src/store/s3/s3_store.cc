#include "store/s3/s3_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "store/s3/s3_writer.h"
#include "store/s3/times.h"
#include "store/s3/xml.h"

namespace runnel::store::s3 {
namespace {

constexpr std::string_view kTimestampHeader = "x-amz-meta-litestream-timestamp";
constexpr std::size_t kListLimitMax = 1000;
bool IsSuccess(const http::Response& response) {
  return response.status >= 200 && response.status < 300;
}

std::string HeaderOf(const http::Response& response, std::string_view name) {
  const std::string* const value = http::FindHeader(response.headers, name);
  return value != nullptr ? *value : "";
}

std::optional<std::uint64_t> ParseNumber(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct ContentRange {
  std::uint64_t first = 0;
  std::uint64_t total = 0;
};

// "bytes 0-9/100"
std::optional<ContentRange> ParseContentRange(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  const std::size_t dash = text.find('-');
  const std::size_t slash = text.find('/');
  if (!text.starts_with(kUnit) || dash == text.npos || slash == text.npos) return std::nullopt;
  const auto first = ParseNumber(text.substr(kUnit.size(), dash - kUnit.size()));
  const auto total = ParseNumber(text.substr(slash + 1));
  if (!first || !total) return std::nullopt;
  return ContentRange{.first = *first, .total = *total};
}

}  // namespace

S3Store::S3Store(Settings settings, const Environment& environment,
                 std::shared_ptr<BucketFacts> facts, RetryPolicy part_policy)
    : client_(std::move(settings), environment.http, environment.credentials, environment.clock),
      environment_(environment),
      facts_(std::move(facts)),
      part_policy_(part_policy) {}

std::string S3Store::location() const {
  std::string text = fmt::format("s3://{}/{}", settings().bucket, settings().key_prefix);
  while (text.ends_with('/')) text.pop_back();
  if (!settings().endpoint.empty()) text += "?endpoint=" + settings().endpoint;
  return text;
}

Capabilities S3Store::capabilities() const {
  return {.conditional_writes = facts_->conditional_writes != Answer::kNo,
          .bills_requests = true,
          .timestamps_in_list = false};
}

http::Headers S3Store::CustomerKeyHeaders() const {
  const auto& key = settings().customer_key;
  if (!key) return {};
  constexpr std::string_view kStart = "x-amz-server-side-encryption-customer-";
  return {{.name = std::string(kStart) + "algorithm", .value = key->algorithm},
          {.name = std::string(kStart) + "key", .value = key->key_base64.Reveal()},
          {.name = std::string(kStart) + "key-md5", .value = key->key_md5_base64}};
}

http::Headers S3Store::ObjectHeaders(WallTime timestamp) const {
  http::Headers headers = CustomerKeyHeaders();
  headers.push_back({.name = std::string(kTimestampHeader), .value = FormatRfc3339(timestamp)});
  headers.push_back({.name = "content-type", .value = "application/octet-stream"});
  if (!settings().storage_class.empty()) {
    headers.push_back({.name = "x-amz-storage-class", .value = settings().storage_class});
  }
  if (!settings().kms_key_id.empty()) {
    headers.push_back({.name = "x-amz-server-side-encryption", .value = "aws:kms"});
    headers.push_back(
        {.name = "x-amz-server-side-encryption-aws-kms-key-id", .value = settings().kms_key_id});
  }
  return headers;
}

// ---------------------------------------------------------------------------------------------
// Writing

Result<std::unique_ptr<ObjectWriter>> S3Store::StartPut(const ObjectKey& key,
                                                        const PutOptions& options) {
  if (!IsValidKey(key)) return Fail(Errc::kInvalidArgument, key.text() + ": not an object's name");
  if (options.condition.kind() != PutCondition::Kind::kNone) {
    RUNNEL_TRY(const bool has_them, HasConditionalWrites());
    if (!has_them) {
      return Fail(Errc::kUnsupported,
                  fmt::format("{}: this store has no conditional writes", location()));
    }
  }
  PutOptions complete = options;
  if (!complete.timestamp) complete.timestamp = environment_.clock.Now();
  return std::make_unique<Writer>(*this, key, std::move(complete));
}

Error S3Store::PutFailure(const Call& call, const http::Response& response,
                          const PutCondition& condition) const {
  Error error = client_.Failure(call, response);
  const bool refused = error.code() == Errc::kPreconditionFailed;
  if (refused && condition.kind() == PutCondition::Kind::kIfAbsent) {
    return {Errc::kAlreadyExists, error.message()};
  }
  // What is not there has no etag that could match.
  const bool gone = error.code() == Errc::kNotFound;
  if (gone && condition.kind() == PutCondition::Kind::kIfMatch) {
    return {Errc::kPreconditionFailed, error.message()};
  }
  return error;
}

Result<http::Response> S3Store::SendPut(Call call, const PutCondition& condition) {
  if (condition.kind() == PutCondition::Kind::kNone) return client_.Send(call);
  if (condition.kind() == PutCondition::Kind::kIfAbsent) {
    call.headers.push_back({.name = "if-none-match", .value = "*"});
    return client_.Send(call);
  }
  const std::string& etag = condition.etag().text();
  Call quoted = call;
  const bool bare_is_known = facts_->bare_etags;
  quoted.headers.push_back(
      {.name = "if-match", .value = bare_is_known ? etag : "\"" + etag + "\""});
  RUNNEL_TRY(http::Response response, client_.Send(quoted));
  if (response.status != 412 || bare_is_known) return response;
  // Some stores (Ceph) compare with the quotes. If the object is the one that is meant, this is
  // one of them; the second try is as safe as the first.
  RUNNEL_TRY(const http::Response head, SendHead(call.key));
  if (!IsSuccess(head) || Unquoted(HeaderOf(head, "etag")) != etag) return response;
  call.headers.push_back({.name = "if-match", .value = etag});
  RUNNEL_TRY(http::Response second, client_.Send(call));
  if (IsSuccess(second)) facts_->bare_etags = true;
  return second;
}

Result<ObjectInfo> S3Store::PutWhole(const ObjectKey& key, const PutOptions& options,
                                     ByteView body) {
  const Call call{.name = "PutObject",
                  .method = http::Method::kPut,
                  .key = FullKey(key),
                  .headers = ObjectHeaders(*options.timestamp),
                  .body = body};
  RUNNEL_TRY(const http::Response response, SendPut(call, options.condition));
  if (!IsSuccess(response)) return Fail(PutFailure(call, response, options.condition));
  return ObjectInfo{.key = key,
                    .size_bytes = body.size(),
                    .etag = Etag(Unquoted(HeaderOf(response, "etag"))),
                    .timestamp = *options.timestamp};
}

// ---------------------------------------------------------------------------------------------
// Reading

Result<http::Response> S3Store::SendHead(const std::string& full_key) {
  return client_.Send({.name = "HeadObject",
                       .method = http::Method::kHead,
                       .key = full_key,
                       .headers = CustomerKeyHeaders()});
}

Result<ObjectInfo> S3Store::Head(const ObjectKey& key) {
  const std::string full_key = FullKey(key);
  RUNNEL_TRY(const http::Response response, SendHead(full_key));
  if (!IsSuccess(response)) {
    return Fail(client_.Failure({.name = "HeadObject", .key = full_key}, response));
  }
  const auto size = ParseNumber(HeaderOf(response, "content-length"));
  if (!size) return Fail(Errc::kCorruption, full_key + ": an answer without the object's size");
  auto time = ParseRfc3339(HeaderOf(response, kTimestampHeader));
  if (!time) time = ParseHttpDate(HeaderOf(response, "last-modified"));
  return ObjectInfo{.key = key,
                    .size_bytes = *size,
                    .etag = Etag(Unquoted(HeaderOf(response, "etag"))),
                    .timestamp = time.value_or(WallTime())};
}

Result<std::size_t> S3Store::ReadAt(const ObjectKey& key, std::uint64_t offset, MutableBytes out) {
  if (out.empty()) {
    RUNNEL_TRY_VOID(Head(key));
    return 0;
  }
  Call call{.name = "GetObject",
            .method = http::Method::kGet,
            .key = FullKey(key),
            .headers = CustomerKeyHeaders(),
            .body_out = out};
  call.headers.push_back(
      {.name = "range", .value = fmt::format("bytes={}-{}", offset, offset + out.size() - 1)});
  RUNNEL_TRY(const http::Response response, client_.Send(call));
  if (response.status == 416) return 0;  // there is nothing from `offset` on
  if (!IsSuccess(response)) return Fail(client_.Failure(call, response));
  const std::size_t count = response.body_out_size;
  if (response.status == 200 && offset == 0) return count;  // a store may send all of it
  const auto range = ParseContentRange(HeaderOf(response, "content-range"));
  if (!range || range->first != offset) {
    return Fail(Errc::kCorruption,
                fmt::format("{}: another part of the object than was asked for", call.key));
  }
  if (count < out.size() && offset + count != range->total) {
    return Fail(Errc::kIo, fmt::format("{}: the answer was cut short", call.key));
  }
  return count;
}

Result<ListPage> S3Store::List(const std::string& prefix,
                               const std::optional<ObjectKey>& start_after, std::size_t limit) {
  RUNNEL_CHECK(limit > 0);
  const std::string& root = settings().key_prefix;
  Call call{.name = "ListObjectsV2",
            .query = {{"list-type", "2"},
                      {"encoding-type", "url"},
                      {"max-keys", std::to_string(std::min(limit, kListLimitMax))},
                      {"prefix", root + prefix}}};
  std::string after;
  if (start_after) call.query.emplace_back("start-after", after = root + start_after->text());
  ListPage page;
  for (;;) {
    RUNNEL_TRY(const http::Response response, client_.Send(call));
    if (!IsSuccess(response)) return Fail(client_.Failure(call, response));
    const auto list = ParseList(response.body);
    if (!list) return Fail(Errc::kCorruption, location() + ": a list that cannot be read");
    for (const ListedObject& object : list->objects) {
      // Not every store that takes start-after heeds it.
      if (object.key <= after || !object.key.starts_with(root + prefix)) continue;
      const ObjectKey key(object.key.substr(root.size()));
      if (!IsValidKey(key) || key.text() == kProbeKey) continue;
      page.objects.push_back(
          {.key = key,
           .size_bytes = object.size_bytes,
           .etag = Etag(object.etag),
           .timestamp = ParseRfc3339(object.last_modified).value_or(WallTime())});
    }
    if (!list->is_truncated) return page;
    if (!page.objects.empty()) {
      page.next_after = page.objects.back().key;
      return page;
    }
    // All of it was to be skipped.
    if (list->next_token.empty()) {
      return Fail(Errc::kCorruption, location() + ": a list that is cut off without a way on");
    }
    std::erase_if(call.query, [](const auto& item) { return item.first == "continuation-token"; });
    call.query.emplace_back("continuation-token", list->next_token);
  }
}

}  // namespace runnel::store::s3
