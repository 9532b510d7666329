#include "replicate/replica_link.h"

#include "replicate/own_object.h"
#include "replicate/streams.h"

namespace runnel::replicate {
namespace {

// Of the lowest level there is: an L0 object can be compared with a staged cut byte for byte. Not
// the end of a path, which may not lead there.
std::optional<LeveledFile> NewestFile(const Manifest& manifest) {
  const Txid newest = manifest.newest();
  for (int i = 0; i < kLevelCount; ++i) {
    const Level level{static_cast<std::uint8_t>(i)};
    for (const ReplicaFile& file : manifest.files(level)) {
      if (file.range.max == newest) return LeveledFile{level, file};
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<DatabaseChecksum> AfterOf(const ltx::Header& header) {
  if (!header.chain) return std::nullopt;
  return header.chain->after;
}

Result<ReplicaLink> FindLink(store::ObjectStore& store, const store::ReplicaLayout& layout,
                             const Manifest& manifest, const capture::Staging& staging) {
  const auto newest = NewestFile(manifest);
  if (!newest) return Fail(Errc::kNotFound, "the replica is empty");
  const store::ObjectKey key = layout.LtxKey(newest->level, newest->file.range);
  RUNNEL_TRY(const ltx::Header header, ReadObjectHeader(store, key));
  if (header.min_txid != newest->file.range.min || header.max_txid != newest->file.range.max) {
    return Fail(Errc::kCorruption, key.text() + ": the header names other txids");
  }
  ReplicaLink link{.is_staged = false, .is_foreign = false, .after = AfterOf(header)};
  const auto staged = staging.Summary(header.max_txid);
  if (!staged) return link;
  if (link.after && staged->header.chain) {
    link.is_staged = link.after == AfterOf(staged->header);
    link.is_foreign = !link.is_staged;
  } else if (newest->level == kLevelCut) {
    RUNNEL_TRY(const ltx::Trailer trailer, ReadObjectTrailer(store, key, newest->file.size_bytes));
    link.is_staged = header == staged->header && trailer == staged->trailer;
    link.is_foreign = !link.is_staged;
  }
  return link;
}

}  // namespace runnel::replicate
