// Makes LTX files for the tests, fuzzers and benchmarks of this folder.

#pragma once

#include <lz4.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <random>

#include "base/byte_stream.h"
#include "base/crc64.h"
#include "base/varint.h"
#include "ltx/chain.h"
#include "ltx/decoder.h"
#include "ltx/encoder.h"

namespace runnel::ltx::testing {

using PageMap = std::map<PageNo, Bytes>;

struct DecodedFile {
  Header header;
  PageMap pages;
  std::vector<IndexEntry> index;
  Trailer trailer;
};

inline Header IncrementalHeader(std::uint32_t page_size, std::uint32_t commit_pages,
                                std::uint64_t txid) {
  return {.page_size = page_size,
          .commit_pages = commit_pages,
          .min_txid = Txid{txid},
          .max_txid = Txid{txid},
          .timestamp = WallTime(std::chrono::milliseconds(1000 * txid))};
}

inline Header SnapshotHeader(std::uint32_t page_size, std::uint32_t commit_pages,
                             std::uint64_t max_txid) {
  Header header = IncrementalHeader(page_size, commit_pages, max_txid);
  header.min_txid = Txid{1};
  return header;
}

// A page like those of a b-tree: cell pointers, free space, rows of words and numbers. Compresses
// about as well as a real one.
inline Bytes BtreePage(std::mt19937_64& random, std::uint32_t page_size) {
  static constexpr std::string_view kWords[] = {"alpha",   "customer",  "2026-01-17T08:", "pending",
                                                "shipped", "warehouse", "NULL",           "street"};
  Bytes page(page_size);
  page[0] = std::byte{0x0D};
  std::size_t cell = page_size;
  std::size_t pointer = 8;
  while (true) {
    Bytes row;
    const std::size_t words = 2 + random() % 6;
    for (std::size_t i = 0; i < words; ++i) {
      for (const char c : kWords[random() % std::size(kWords)]) {
        row.push_back(static_cast<std::byte>(c));
      }
      for (int k = 0; k < 4; ++k) row.push_back(static_cast<std::byte>(random()));
    }
    if (pointer + 2 + row.size() + page_size / 8 > cell) return page;
    cell -= row.size();
    std::ranges::copy(row, page.begin() + static_cast<std::ptrdiff_t>(cell));
    PutBigEndian(page, pointer, static_cast<std::uint16_t>(cell));
    pointer += 2;
  }
}

inline Bytes RandomPage(std::mt19937_64& random, std::uint32_t page_size) {
  Bytes page(page_size);
  for (std::byte& b : page) b = static_cast<std::byte>(random());
  return page;
}

inline DatabaseChecksum SumOf(const PageMap& pages) {
  ChainSum sum;
  for (const auto& [page_no, page] : pages) sum.Add(PageChecksum(page_no, page));
  return sum.value();
}

inline Result<Bytes> Encode(const Header& header, const PageMap& pages,
                            EncoderOptions options = {}) {
  VectorSink sink;
  Encoder encoder(sink, options);
  RUNNEL_TRY_VOID(encoder.WriteHeader(header));
  for (const auto& [page_no, page] : pages) RUNNEL_TRY_VOID(encoder.WritePage(page_no, page));
  RUNNEL_TRY_VOID(encoder.Finish());
  return std::move(sink).TakeBytes();
}

inline Result<DecodedFile> Decode(ByteSource& source, DecoderOptions options = {}) {
  Decoder decoder(source, options);
  DecodedFile file;
  RUNNEL_TRY(file.header, decoder.ReadHeader());
  Bytes page(file.header.page_size);
  while (true) {
    RUNNEL_TRY(const auto entry, decoder.ReadPage(page));
    if (!entry) break;
    file.index.push_back(*entry);
    file.pages[entry->page_no] = page;
  }
  RUNNEL_TRY(file.trailer, decoder.Finish());
  return file;
}

inline Result<DecodedFile> Decode(ByteView bytes, DecoderOptions options = {}) {
  SpanSource source(bytes);
  return Decode(source, options);
}

// Builds a file without any of the encoder's checks, so that the decoder's can be seen to work.
class RawFile {
 public:
  explicit RawFile(const Header& header) {
    const auto bytes = SerializeHeader(header);
    AddHashed(bytes);
  }

  RawFile& Block(std::uint32_t page_no, ByteView page, std::uint16_t flags = 1) {
    Bytes block(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(page.size()))));
    const int size = LZ4_compress_default(
        reinterpret_cast<const char*>(page.data()), reinterpret_cast<char*>(block.data()),
        static_cast<int>(page.size()), static_cast<int>(block.size()));
    block.resize(static_cast<std::size_t>(size));
    return Frame(page_no, flags, block, static_cast<std::uint32_t>(block.size()), page);
  }

  RawFile& Frame(std::uint32_t page_no, std::uint16_t flags, ByteView payload,
                 std::optional<std::uint32_t> size_prefix, ByteView page) {
    const std::uint64_t start = bytes_.size();
    std::array<std::byte, kPageHeaderSize + kSizePrefixSize> prefix;
    PutBigEndian(prefix, 0, page_no);
    PutBigEndian(prefix, 4, flags);
    PutBigEndian(prefix, kPageHeaderSize, size_prefix.value_or(0));
    AddHashed(ByteView(prefix).first(size_prefix ? prefix.size() : kPageHeaderSize));
    crc_.Update(page);
    bytes_.insert(bytes_.end(), payload.begin(), payload.end());
    index_.push_back(
        {.page_no = PageNo{page_no}, .offset_bytes = start, .size_bytes = bytes_.size() - start});
    return *this;
  }

  std::vector<IndexEntry>& index() { return index_; }

  static Bytes SerializeIndex(const std::vector<IndexEntry>& entries) {
    Bytes out;
    for (const IndexEntry& entry : entries) {
      AppendVarint(out, ToInt(entry.page_no));
      AppendVarint(out, entry.offset_bytes);
      AppendVarint(out, entry.size_bytes);
    }
    out.push_back(std::byte{0});
    return out;
  }

  Bytes Finish(std::uint64_t post_apply = 0) {
    return FinishWith(SerializeIndex(index_), std::nullopt, post_apply);
  }

  Bytes FinishWith(ByteView entries, std::optional<std::uint64_t> length = std::nullopt,
                   std::uint64_t post_apply = 0) {
    constexpr std::array<std::byte, kPageHeaderSize> kEnd{};
    AddHashed(kEnd);
    AddHashed(entries);
    std::array<std::byte, sizeof(std::uint64_t)> field;
    PutBigEndian(field, 0, length.value_or(entries.size()));
    AddHashed(field);
    PutBigEndian(field, 0, post_apply);
    AddHashed(field);
    PutBigEndian(field, 0, crc_.value() | 1ULL << 63);
    bytes_.insert(bytes_.end(), field.begin(), field.end());
    return bytes_;
  }

 private:
  void AddHashed(ByteView bytes) {
    crc_.Update(bytes);
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }

  Bytes bytes_;
  Crc64 crc_;
  std::vector<IndexEntry> index_;
};

}  // namespace runnel::ltx::testing
