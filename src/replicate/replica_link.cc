#include "replicate/replica_link.h"

#include "replicate/own_object.h"
#include "replicate/streams.h"

namespace runnel::replicate {
namespace {

// The last of the path's files, of the lowest level there is: an L0 object can be compared with a
// staged cut byte for byte.
LeveledFile NewestFile(const Manifest& manifest, Txid txid) {
  if (const auto cut = manifest.Find(kLevelCut, {.min = txid, .max = txid})) {
    return {kLevelCut, *cut};
  }
  return manifest.PathTo(txid).back();
}

}  // namespace

std::optional<DatabaseChecksum> AfterOf(const ltx::Header& header) {
  if (!header.chain) return std::nullopt;
  return header.chain->after;
}

Result<ReplicaLink> FindLink(store::ObjectStore& store, const store::ReplicaLayout& layout,
                             const Manifest& manifest, const capture::Staging& staging) {
  const LeveledFile newest = NewestFile(manifest, manifest.newest());
  const store::ObjectKey key = layout.LtxKey(newest.level, newest.file.range);
  RUNNEL_TRY(const ltx::Header header, ReadObjectHeader(store, key));
  if (header.min_txid != newest.file.range.min || header.max_txid != newest.file.range.max) {
    return Fail(Errc::kCorruption, key.text() + ": the header names other txids");
  }
  ReplicaLink link{.is_staged = false, .is_foreign = false, .after = AfterOf(header)};
  const auto staged = staging.Summary(header.max_txid);
  if (!staged) return link;
  if (link.after && staged->header.chain) {
    link.is_staged = link.after == AfterOf(staged->header);
    link.is_foreign = !link.is_staged;
  } else if (newest.level == kLevelCut) {
    RUNNEL_TRY(const ltx::Trailer trailer, ReadObjectTrailer(store, key, newest.file.size_bytes));
    link.is_staged = header == staged->header && trailer == staged->trailer;
    link.is_foreign = !link.is_staged;
  }
  return link;
}

}  // namespace runnel::replicate
