// From "s3://..." to settings, as Litestream reads it.
//
//   (1) s3://BUCKET[/PATH]; s3://BUCKET.HOST/PATH where HOST is one of a known provider;
//       s3://BUCKET.HOST:PORT/PATH for any other; s3://ARN-OF-AN-ACCESS-POINT[/PATH].
//   (2) Parameters: endpoint, region, force-path-style, skip-verify, sign-payload,
//       require-content-md5, storage-class, part-size, concurrency, sse-customer-key,
//       sse-kms-key-id, ca-file; each with hyphens or in camel case. Any other is an error.
//   (3) Keys begin with "PATH/". Without a path they begin with "./", and with an empty one
//       ("s3://bucket/") with "/", as Litestream has it.

#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "store/s3/settings.h"

namespace runnel::store::s3 {

// kInvalidArgument, with what is wrong. The endpoint's provider is not applied yet.
Result<Settings> ParseS3Url(std::string_view url);

}  // namespace runnel::store::s3
