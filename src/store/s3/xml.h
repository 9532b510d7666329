// The XML of S3 and STS as plain values. The only place that knows the library that reads it.
//
// Nothing is thrown or trusted: text that is not what it should be is nothing.

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace runnel::store::s3 {

struct ErrorBody {
  std::string code;  // "NoSuchKey"
  std::string message;
  std::string region;  // of AuthorizationHeaderMalformed
  std::string request_id;
};

std::optional<ErrorBody> ParseError(ByteView xml);

struct ListedObject {
  std::string key;
  std::uint64_t size_bytes = 0;
  std::string etag;  // without quotes
  std::string last_modified;
};

struct ListResult {
  std::vector<ListedObject> objects;
  bool is_truncated = false;
  std::string next_token;
};

std::optional<ListResult> ParseList(ByteView xml);

// The upload id of InitiateMultipartUploadResult.
std::optional<std::string> ParseUploadId(ByteView xml);

// The etag, without quotes, of CompleteMultipartUploadResult.
std::optional<std::string> ParseCompletedEtag(ByteView xml);

struct FailedDelete {
  std::string key;
  std::string code;
  std::string message;
};

struct DeleteResult {
  std::vector<std::string> deleted;
  std::vector<FailedDelete> failed;
};

std::optional<DeleteResult> ParseDelete(ByteView xml);

struct StsCredentials {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token;
  std::string expiration;
};

std::optional<StsCredentials> ParseSts(ByteView xml);

std::string MakeDelete(std::span<const std::string> keys);

// `etags` of the parts 1, 2, .., without quotes.
std::string MakeComplete(std::span<const std::string> etags);

// Whether `text` can stand in XML 1.0 at all: control characters cannot, however they are written.
bool FitsXml(std::string_view text);

// "abc" of "\"abc\"".
std::string Unquoted(std::string_view etag);

}  // namespace runnel::store::s3
