#include "replicate/object_proof.h"

#include <fmt/format.h>

#include <algorithm>

#include "ltx/chain.h"
#include "ltx/decoder.h"
#include "store/object_source.h"

namespace runnel::replicate {
namespace {

constexpr std::size_t kWindowBytes = std::size_t{256} << 10;

Result<void> VisitPages(ltx::Decoder& decoder, const ltx::Header& header,
                        const PageChecksumVisitor& visit) {
  Bytes page(header.page_size);
  while (true) {
    RUNNEL_TRY(const auto entry, decoder.ReadPage(page));
    if (!entry) return {};
    RUNNEL_TRY_VOID(visit(entry->page_no, ltx::PageChecksum(entry->page_no, page)));
  }
}

Result<ltx::Header> Prove(ByteSource& source, const LeveledFile& file,
                          const PageChecksumVisitor& visit) {
  ltx::Decoder decoder(source);
  RUNNEL_TRY(const ltx::Header header, decoder.ReadHeader());
  if (header.min_txid != file.file.range.min || header.max_txid != file.file.range.max) {
    return Fail(Errc::kCorruption,
                fmt::format("its header names txids {} to {}", FormatTxid(header.min_txid),
                            FormatTxid(header.max_txid)));
  }
  if (visit) RUNNEL_TRY_VOID(VisitPages(decoder, header, visit));
  RUNNEL_TRY_VOID(decoder.Finish());
  return header;
}

}  // namespace

Result<ltx::Header> ProveObject(store::ObjectStore& store, const store::ReplicaLayout& layout,
                                const LeveledFile& file, const PageChecksumVisitor& visit) {
  const store::ObjectKey key = layout.LtxKey(file.level, file.file.range);
  // One byte more than was listed, so that a longer object is seen.
  store::ObjectSource source(
      store, key, 0, file.file.size_bytes + 1,
      static_cast<std::size_t>(std::min<std::uint64_t>(file.file.size_bytes + 1, kWindowBytes)));
  return Prove(source, file, visit);
}

}  // namespace runnel::replicate
