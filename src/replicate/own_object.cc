#include "replicate/own_object.h"

#include <algorithm>

#include "ltx/decoder.h"
#include "store/object_source.h"

namespace runnel::replicate {
namespace {

constexpr std::size_t kReadBackChunk = std::size_t{256} * 1024;

}  // namespace

Result<ltx::Trailer> ReadObjectTrailer(store::ObjectStore& store, const store::ObjectKey& key,
                                       std::uint64_t size_bytes) {
  Bytes bytes(ltx::kTrailerSize);
  if (size_bytes < bytes.size()) return Fail(Errc::kCorruption, key.text() + " is too short");
  RUNNEL_TRY(const std::size_t count, store.ReadAt(key, size_bytes - bytes.size(), bytes));
  if (count < bytes.size()) return Fail(Errc::kCorruption, key.text() + " is too short");
  return ltx::Trailer{.post_apply_checksum = GetBigEndian<std::uint64_t>(bytes, 0),
                      .file_checksum = FileChecksum{GetBigEndian<std::uint64_t>(bytes, 8)}};
}

Result<bool> HoldsFile(store::ObjectStore& store, const store::ObjectKey& key, fs::File& file,
                       std::uint64_t size_bytes) {
  RUNNEL_TRY(const store::ObjectInfo info, store.Head(key));
  if (info.size_bytes != size_bytes) return false;
  Bytes theirs(kReadBackChunk);
  Bytes ours(kReadBackChunk);
  for (std::uint64_t offset = 0; offset < size_bytes;) {
    RUNNEL_TRY(const std::size_t count, store.ReadAt(key, offset, theirs));
    RUNNEL_TRY(const std::size_t local, file.ReadAt(offset, MutableBytes(ours).first(count)));
    if (count == 0 || local != count) return false;
    if (!std::ranges::equal(ByteView(theirs).first(count), ByteView(ours).first(count))) {
      return false;
    }
    offset += count;
  }
  return true;
}

Result<bool> HoldsMerge(store::ObjectStore& store, const store::ObjectKey& key,
                        const ltx::MergeResult& merged) {
  RUNNEL_TRY(const store::ObjectInfo info, store.Head(key));
  store::ObjectSource source(store, key, 0, info.size_bytes, kReadBackChunk);
  ltx::Decoder decoder(source);
  auto same = [&]() -> Result<bool> {
    RUNNEL_TRY(const ltx::Header header, decoder.ReadHeader());
    RUNNEL_TRY(const ltx::Trailer trailer, decoder.Finish());
    return header == merged.header && trailer == merged.trailer;
  }();
  if (!same && same.error().code() == Errc::kCorruption) return false;
  return same;
}

}  // namespace runnel::replicate
