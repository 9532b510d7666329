#include "ltx/page_codec.h"

#include <fmt/format.h>
#include <lz4.h>
#include <xxhash.h>

#include <algorithm>
#include <array>

namespace runnel::ltx {
namespace {

constexpr std::uint16_t kFlagBlock = 0x1;

// The only LZ4 frame header that Litestream ever wrote: version 1, independent blocks of at most
// 64 KiB, no block checksums, no content size, content checksum.
constexpr std::array kLz4FrameHeader{std::byte{0x04}, std::byte{0x22}, std::byte{0x4D},
                                     std::byte{0x18}, std::byte{0x64}, std::byte{0x40},
                                     std::byte{0xA7}};
constexpr std::size_t kLz4BlockSizeSize = 4;
constexpr std::uint32_t kLz4RawBlock = 0x80000000;  // in the block size: stored as it is
constexpr std::size_t kLz4FrameTailSize = 8;        // end mark, content checksum

constexpr std::size_t kBlockStart = kPageHeaderSize + kSizePrefixSize;
constexpr std::size_t kLegacyStart = kPageHeaderSize + kLz4FrameHeader.size() + kLz4BlockSizeSize;

std::size_t CompressBound(std::size_t page_size) {
  return static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(page_size)));
}

std::unexpected<Error> Broken(std::string message) {
  return Fail(Errc::kCorruption, std::move(message));
}

Result<void> Decompress(ByteView block, MutableBytes page) {
  const int size = LZ4_decompress_safe(
      reinterpret_cast<const char*>(block.data()), reinterpret_cast<char*>(page.data()),
      static_cast<int>(block.size()), static_cast<int>(page.size()));
  if (size < 0) return Broken("invalid LZ4 block");
  if (static_cast<std::size_t>(size) != page.size()) {
    return Broken(fmt::format("LZ4 block holds {} bytes, a page has {}", size, page.size()));
  }
  return {};
}

Result<void> DecodeLegacyFrame(ByteView frame, MutableBytes page) {
  const ByteView tail = frame.last(kLz4FrameTailSize);
  const ByteView block = frame.subspan(kLegacyStart, frame.size() - kLegacyStart - tail.size());
  const auto block_size = GetLittleEndian<std::uint32_t>(frame, kLegacyStart - kLz4BlockSizeSize);
  if ((block_size & kLz4RawBlock) != 0) {
    std::ranges::copy(block, page.begin());  // FrameSize() has compared the sizes
  } else {
    RUNNEL_TRY_VOID(Decompress(block, page));
  }
  if (GetLittleEndian<std::uint32_t>(tail, 0) != 0) {
    return Broken("LZ4 frame of more than one block");
  }
  if (GetLittleEndian<std::uint32_t>(tail, 4) != XXH32(page.data(), page.size(), 0)) {
    return Broken("LZ4 content checksum mismatch");
  }
  return {};
}

Result<std::size_t> LegacyFrameSize(ByteView prefix, std::uint32_t page_size) {
  if (!std::ranges::equal(prefix.subspan(kPageHeaderSize, kLz4FrameHeader.size()),
                          kLz4FrameHeader)) {
    return Broken("not an LZ4 frame of the form that LTX uses");
  }
  const auto field = GetLittleEndian<std::uint32_t>(prefix, kLegacyStart - kLz4BlockSizeSize);
  const std::size_t size = field & ~kLz4RawBlock;
  const bool raw = (field & kLz4RawBlock) != 0;
  if (raw ? size != page_size : size == 0 || size > CompressBound(page_size)) {
    return Broken(
        fmt::format("LZ4 frame has a block of {} bytes for a page of {}", size, page_size));
  }
  return kLegacyStart + size + kLz4FrameTailSize;
}

}  // namespace

Result<PageHeader> ParsePageHeader(ByteView bytes) {
  const PageNo page_no{GetBigEndian<std::uint32_t>(bytes, 0)};
  const auto flags = GetBigEndian<std::uint16_t>(bytes, 4);
  if (page_no == PageNo{0}) return Broken("page number 0 with page flags");
  if ((flags & ~kFlagBlock) != 0) {
    return Broken(fmt::format("page {}: unknown page flags {:#06x}", ToInt(page_no), flags));
  }
  return PageHeader{.page_no = page_no,
                    .encoding = flags == 0 ? PageEncoding::kFrame : PageEncoding::kBlock};
}

std::size_t FramePrefixSize(PageEncoding encoding) {
  return encoding == PageEncoding::kBlock ? kBlockStart : kLegacyStart;
}

std::size_t HashedPrefixSize(PageEncoding encoding) {
  return encoding == PageEncoding::kBlock ? kBlockStart : kPageHeaderSize;
}

std::size_t FrameSizeMin() { return kBlockStart + 1; }

std::size_t FrameSizeMax(std::uint32_t page_size) {
  return kLegacyStart + CompressBound(page_size) + kLz4FrameTailSize;
}

Result<std::size_t> FrameSize(PageEncoding encoding, ByteView prefix, std::uint32_t page_size) {
  if (encoding == PageEncoding::kFrame) return LegacyFrameSize(prefix, page_size);
  const std::size_t size = GetBigEndian<std::uint32_t>(prefix, kPageHeaderSize);
  if (size == 0 || size > CompressBound(page_size)) {
    return Broken(fmt::format("LZ4 block of {} bytes for a page of {}", size, page_size));
  }
  return kBlockStart + size;
}

Result<void> DecodeFrame(PageEncoding encoding, ByteView frame, MutableBytes page) {
  if (encoding == PageEncoding::kFrame) return DecodeLegacyFrame(frame, page);
  return Decompress(frame.subspan(kBlockStart), page);
}

PageCompressor::PageCompressor(PageEncoding encoding)
    : encoding_(encoding),
      lz4_state_(std::make_unique_for_overwrite<std::byte[]>(
          static_cast<std::size_t>(LZ4_sizeofState()))) {}

PageCompressor::~PageCompressor() = default;

std::size_t PageCompressor::EncodeFrame(PageNo page_no, ByteView page, MutableBytes out) {
  PutBigEndian(out, 0, ToInt(page_no));
  return encoding_ == PageEncoding::kBlock ? EncodeBlock(page, out) : EncodeLegacyFrame(page, out);
}

std::size_t PageCompressor::EncodeBlock(ByteView page, MutableBytes out) {
  const MutableBytes block = out.subspan(kBlockStart);
  const int size = LZ4_compress_fast_extState(
      lz4_state_.get(), reinterpret_cast<const char*>(page.data()),
      reinterpret_cast<char*>(block.data()), static_cast<int>(page.size()),
      static_cast<int>(CompressBound(page.size())), 1);
  RUNNEL_CHECK(size > 0);  // cannot fail with LZ4_compressBound() bytes of room
  PutBigEndian(out, 4, kFlagBlock);
  PutBigEndian(out, kPageHeaderSize, static_cast<std::uint32_t>(size));
  return kBlockStart + static_cast<std::size_t>(size);
}

std::size_t PageCompressor::EncodeLegacyFrame(ByteView page, MutableBytes out) {
  PutBigEndian(out, 4, std::uint16_t{0});
  std::ranges::copy(kLz4FrameHeader, out.begin() + kPageHeaderSize);
  const MutableBytes block = out.subspan(kLegacyStart);
  // Room for less than the page makes LZ4 give up where the frame format wants a raw block.
  const int compressed_size = LZ4_compress_fast_extState(
      lz4_state_.get(), reinterpret_cast<const char*>(page.data()),
      reinterpret_cast<char*>(block.data()), static_cast<int>(page.size()),
      static_cast<int>(page.size()) - 1, 1);
  std::uint32_t block_size = static_cast<std::uint32_t>(compressed_size);
  std::uint32_t flag = 0;
  if (compressed_size <= 0) {
    std::ranges::copy(page, block.begin());
    block_size = static_cast<std::uint32_t>(page.size());
    flag = kLz4RawBlock;
  }
  PutLittleEndian(out, kLegacyStart - kLz4BlockSizeSize, block_size | flag);
  PutLittleEndian(block, block_size, std::uint32_t{0});
  PutLittleEndian(block, block_size + sizeof(std::uint32_t),
                  std::uint32_t{XXH32(page.data(), page.size(), 0)});
  return kLegacyStart + block_size + kLz4FrameTailSize;
}

}  // namespace runnel::ltx
