#include "restore/object_reader.h"

#include <fmt/format.h>

#include <algorithm>

namespace runnel::restore {
namespace {

Error PastTheEnd(std::uint64_t offset, std::size_t length, std::uint64_t size_bytes) {
  return {Errc::kCorruption,
          fmt::format("file ends at byte {}, before byte {} + {}", size_bytes, offset, length)};
}

}  // namespace

Result<void> ObjectReader::ReadAt(std::uint64_t offset, MutableBytes out) {
  if (offset > size_bytes_ || out.size() > size_bytes_ - offset) {
    return Fail(PastTheEnd(offset, out.size(), size_bytes_));
  }
  while (!out.empty()) {
    auto count = store_.ReadAt(key_, offset, out);
    if (!count && count.error().code() == Errc::kNotFound) {
      return Fail(Errc::kUnavailable, "the object was deleted after the replica was listed");
    }
    if (!count) return Fail(std::move(count).error());
    if (*count == 0) return Fail(PastTheEnd(offset, out.size(), offset));
    offset += *count;
    out = out.subspan(*count);
  }
  return {};
}

Result<void> SpanReader::ReadAt(std::uint64_t offset, MutableBytes out) {
  if (offset > bytes_.size() || out.size() > bytes_.size() - offset) {
    return Fail(PastTheEnd(offset, out.size(), bytes_.size()));
  }
  std::ranges::copy(bytes_.subspan(static_cast<std::size_t>(offset), out.size()), out.begin());
  return {};
}

}  // namespace runnel::restore
