// Reads one LTX file from front to back and believes nothing: everything that
// docs/formats/ltx.md demands is checked, including what Go's decoder lets through.
//
//   (1) Pages handed out before Finish() succeeded are unproven: the file checksum is the last
//       thing in a file. Act on them only where they can be taken back.
//   (2) Memory is bounded by the page size: the index is compared with the pages by a running
//       hash, not kept.
//   (3) Errors are kCorruption naming the byte offset and the rule, or the source's own. After one,
//       every later call fails with the same error.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/byte_stream.h"
#include "base/result.h"
#include "ltx/format.h"

namespace runnel::ltx {

struct DecoderOptions {
  // How much is read from the source at once (and held in memory), beyond what one page needs.
  std::size_t read_ahead_bytes = std::size_t{64} * 1024;
};

// One thread at a time.
class Decoder {
 public:
  // `source` outlives the decoder, and may be read past the page handed out.
  explicit Decoder(ByteSource& source, DecoderOptions options = {});
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // First call.
  Result<Header> ReadHeader();

  // The next page into `page` (exactly page-size bytes), or nothing after the last one.
  Result<std::optional<IndexEntry>> ReadPage(MutableBytes page);

  // The page that ReadPage() handed out last, as it is in the file. Only after a page, until the
  // next call.
  EncodedPage encoded_page() const;

  // Reads whatever pages remain, the index and the trailer, and proves the file; there must be
  // nothing after the trailer.
  Result<Trailer> Finish();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// One page out of the `size_bytes` that an IndexEntry names, checked against the entry's page
// number. `frame` is exactly those bytes, `page` exactly one page.
Result<void> DecodePageFrame(const IndexEntry& entry, ByteView frame, MutableBytes page);

}  // namespace runnel::ltx
