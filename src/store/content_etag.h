// The etag of a store that has none of its own.

#pragma once

#include <fmt/format.h>

#include <cstdint>

#include "store/object_store.h"

namespace runnel::store {

// `content_hash` is Hash64() of the whole object.
inline Etag ContentEtag(std::uint64_t size_bytes, std::uint64_t content_hash) {
  return Etag(fmt::format("{:x}-{:016x}", size_bytes, content_hash));
}

}  // namespace runnel::store
