// The digests that S3 signs and checks with, and the texts they are written as.

#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace runnel::store::s3 {

using Sha256Digest = std::array<std::byte, 32>;
using Md5Digest = std::array<std::byte, 16>;

Sha256Digest Sha256(ByteView bytes);
Sha256Digest HmacSha256(ByteView key, ByteView message);
Md5Digest Md5(ByteView bytes);

std::string Hex(ByteView bytes);  // in lower case
std::string Base64(ByteView bytes);
// Nothing if `text` is not base64 with its padding.
std::optional<Bytes> Base64Decode(std::string_view text);

}  // namespace runnel::store::s3
