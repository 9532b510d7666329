// Writes one LTX file: header, pages in ascending order, page index, trailer.
//
//   (1) An encoder does no I/O of its own: everything goes to the sink, in file order.
//   (2) A file whose Finish() did not succeed is garbage. Delete it, never publish it.
//   (3) After a failure every later call fails with the same error.
//   (4) Memory does not grow with the number of pages beyond IndexSpool's own.
//
// Calling out of order, or with a page that the header does not allow, is a bug of the caller and
// stops the process.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/byte_stream.h"
#include "base/crc64.h"
#include "base/result.h"
#include "ltx/format.h"

namespace runnel::ltx {

// Holds the serialized page index (about 10 bytes a page) until the pages are written. The
// default one keeps it in memory; fs/ has one that spills to a file.
class IndexSpool {
 public:
  virtual ~IndexSpool() = default;
  virtual Result<void> Append(ByteView bytes) = 0;
  // Everything appended so far, in order, in pieces. Called once.
  virtual Result<void> CopyTo(ByteSink& sink) = 0;
};

std::unique_ptr<IndexSpool> MakeMemoryIndexSpool();

struct EncoderOptions {
  PageEncoding encoding = PageEncoding::kBlock;
};

// One thread at a time.
class Encoder {
 public:
  // `sink` outlives the encoder.
  Encoder(ByteSink& sink, EncoderOptions options,
          std::unique_ptr<IndexSpool> index = MakeMemoryIndexSpool());
  ~Encoder();
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  // First call. `header.has_ltx_checksums` must be false (we write the chain instead), and so
  // `commit_pages` above 0: LTX has no form for an empty database without its checksums.
  Result<void> WriteHeader(const Header& header);

  // Compresses and appends one page of exactly the header's page size. Page numbers strictly
  // ascend, lie in 1..commit_pages and skip the lock page; where HoldsAllPages(), no other gap.
  Result<void> WritePage(PageNo page_no, ByteView page);

  // As WritePage(), where `encoded` is what a decoder made `page` from. It is copied if it is in
  // the encoding of this file, which spares the compression.
  Result<void> CopyPage(PageNo page_no, ByteView page, const EncodedPage& encoded);

  // Appends index and trailer. Where HoldsAllPages(), they must be there, and must add up to the
  // header's chain, if it has one: kCorruption otherwise, since they come from other files.
  Result<Trailer> Finish();

  // The size of the file so far. The sink may be up to 64 KiB behind before Finish().
  std::uint64_t bytes_written() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace runnel::ltx
