#include "replicate/streams.h"

#include <fmt/format.h>

namespace runnel::replicate {

Result<ltx::Header> ReadObjectHeader(store::ObjectStore& store, const store::ObjectKey& key) {
  Bytes bytes(ltx::kHeaderSize);
  RUNNEL_TRY(const std::size_t count, store.ReadAt(key, 0, bytes));
  if (count < bytes.size()) {
    return Fail(Errc::kCorruption, fmt::format("{} has only {} bytes", key.text(), count));
  }
  auto header = ltx::ParseHeader(bytes);
  if (!header) return Fail(std::move(header).error().Context(key.text()));
  return header;
}

}  // namespace runnel::replicate
