// Makes LTX files for the tests, fuzzers and benchmarks of this folder.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>

#include "base/byte_stream.h"
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

}  // namespace runnel::ltx::testing
