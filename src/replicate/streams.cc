#include "replicate/streams.h"

#include <fmt/format.h>

namespace runnel::replicate {

Result<void> CopyAll(ByteSource& from, ByteSink& to) {
  Bytes buffer(fs::kStreamBufferBytes);
  while (true) {
    RUNNEL_TRY(const std::size_t count, from.Read(buffer));
    if (count == 0) return {};
    RUNNEL_TRY_VOID(to.Append(ByteView(buffer).first(count)));
  }
}

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
