// What a refusal of S3 means for us, in words that name the place, the cause and the cure.

#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "http/client.h"
#include "store/s3/xml.h"

namespace runnel::store::s3 {

// What was asked of whom.
struct Operation {
  std::string_view name;  // "PutObject"
  std::string bucket;
  std::string endpoint;  // "https://host"
  std::string key;       // in the bucket; empty: the bucket itself
};

// A response that is no success. Of an answer without a body (to HEAD) the status has to do.
struct Refusal {
  int status = 0;
  ErrorBody body;
};

Refusal RefusalOf(const http::Response& response);

// kNotFound only where the object is not there: a missing bucket is kInvalidArgument.
Error FailureOf(const Operation& operation, const Refusal& refusal);

// The code of FailureOf().
Errc CodeOf(const Refusal& refusal);

}  // namespace runnel::store::s3
