// One page frame: page header, for blocks a size prefix, compressed page. Not for other folders.

#pragma once

#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "ltx/format.h"

namespace runnel::ltx {

struct PageHeader {
  PageNo page_no{};
  PageEncoding encoding{};
};

// `bytes` starts with kPageHeaderSize bytes that are not all zero.
Result<PageHeader> ParsePageHeader(ByteView bytes);

// Bytes at the start of a frame that tell how long it is.
std::size_t FramePrefixSize(PageEncoding encoding);

// Bytes at the start of a frame that the file checksum covers as they are.
std::size_t HashedPrefixSize(PageEncoding encoding);

// The bounds of a frame that holds one page.
std::size_t FrameSizeMin();
std::size_t FrameSizeMax(std::uint32_t page_size);

// The whole frame's size by its prefix: never above FrameSizeMax().
Result<std::size_t> FrameSize(PageEncoding encoding, ByteView prefix, std::uint32_t page_size);

// Fills all of `page` from a frame of exactly FrameSize() bytes.
Result<void> DecodeFrame(PageEncoding encoding, ByteView frame, MutableBytes page);

// Keeps LZ4's working memory, so that a page costs no allocation. One thread at a time.
class PageCompressor {
 public:
  explicit PageCompressor(PageEncoding encoding);
  ~PageCompressor();

  // Writes the frame of `page` to the front of `out` (at least FrameSizeMax() bytes) and returns
  // its size.
  std::size_t EncodeFrame(PageNo page_no, ByteView page, MutableBytes out);

  PageEncoding encoding() const { return encoding_; }

 private:
  std::size_t EncodeBlock(ByteView page, MutableBytes out);
  std::size_t EncodeLegacyFrame(ByteView page, MutableBytes out);

  PageEncoding encoding_;
  std::unique_ptr<std::byte[]> lz4_state_;
};

}  // namespace runnel::ltx
