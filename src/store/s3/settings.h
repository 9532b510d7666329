// Everything that says where objects of S3 lie and how they are written. Plain values.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/redacted.h"
#include "http/client.h"

namespace runnel::store::s3 {

enum class Addressing : std::uint8_t {
  kVirtualHost,  // https://bucket.host/key
  kPath,         // https://host/bucket/key
};
enum class PayloadSigning : std::uint8_t { kSigned, kUnsigned };
enum class DeleteChecksum : std::uint8_t { kContentMd5, kNone };
enum class PartSizes : std::uint8_t {
  kGrowing,  // so that an object of any size fits in the number of parts that is allowed
  kEqual,    // for stores that demand it
};

// SSE-C: the store encrypts with a key that only we have.
struct CustomerKey {
  std::string algorithm = "AES256";
  Redacted key_base64;
  std::string key_md5_base64;
};

// kInvalidArgument unless `key_base64` is 32 bytes.
Result<CustomerKey> MakeCustomerKey(std::string_view key_base64);

inline constexpr std::uint64_t kPartSizeMin = 5ULL << 20;

struct Settings {
  std::string bucket;                    // a name, or the ARN of an access point
  std::string key_prefix;                // stands before each key as it is: "mydb/"
  std::string region;                    // empty: found out
  std::string endpoint;                  // "https://host[:port]"; empty: AWS
  std::optional<Addressing> addressing;  // nothing: by the endpoint
  PayloadSigning payload_signing = PayloadSigning::kSigned;
  DeleteChecksum delete_checksum = DeleteChecksum::kContentMd5;
  std::string storage_class;
  std::string kms_key_id;
  std::optional<CustomerKey> customer_key;
  // An object longer than a part goes in parts, so many at a time. Memory for each that is
  // under way: parts_in_flight + 1 times the size.
  std::uint64_t part_size_bytes = 8ULL << 20;
  unsigned parts_in_flight = 4;
  PartSizes part_sizes = PartSizes::kGrowing;
  http::Headers extra_headers;  // of every request
  http::Transport transport;
};

}  // namespace runnel::store::s3
