// Merges consecutive LTX files into one: compaction, and the making of snapshots.
//
// The rules are those of Litestream's compactor (docs/formats/ltx.md, "Merging"): newest input
// wins, pages past the last commit size are dropped, commit size and timestamp come from the last
// input, every input is read to its end and proven before the result counts.

#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/byte_stream.h"
#include "base/result.h"
#include "ltx/encoder.h"
#include "ltx/format.h"

namespace runnel::ltx {

struct MergeOptions {
  EncoderOptions encoder;
  // Makes the spool of the page index; called once.
  std::unique_ptr<IndexSpool> index_spool = MakeMemoryIndexSpool();
  // For a snapshot whose first input is a scan of the live database, which proves nothing by
  // itself: the merged header gets the chain (0, this), whatever the inputs carry, and the merged
  // pages must add up to it, else kCorruption.
  std::optional<DatabaseChecksum> snapshot_checksum;
};

struct MergeResult {
  Header header;  // of the merged file
  Trailer trailer;
  std::uint64_t size_bytes = 0;
};

// `inputs` are whole files, oldest first; page sizes equal; each starts no later than one past
// the previous one's end and ends after it (kInvalidArgument names the pair otherwise).
//
// The merged header has the chain (first.before, last.after) if all inputs carry a chain, and none
// otherwise; a chain that breaks between two adjoining inputs is kCorruption naming the txid.
// A full copy starts the chain anew: it may follow anything. Inputs that overlap cannot be
// compared, so they give a chain only to a file of all pages, which have to add up to it.
//
// A page that a file of all pages needs and no input has is kCorruption naming the page. Memory: a
// page and a read-ahead of 8 to 64 KiB for each input. Sources outlive the call.
Result<MergeResult> Merge(std::span<ByteSource* const> inputs, ByteSink& output,
                          MergeOptions options);

}  // namespace runnel::ltx
