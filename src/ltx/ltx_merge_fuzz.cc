// Merges of small files against a map as the model.

#include <algorithm>
#include <vector>

#include "ltx/merge.h"
#include "ltx/testing.h"

using namespace runnel;
using ltx::testing::PageMap;

namespace {

constexpr std::uint32_t kPageSize = kPageSizeMin;

struct Part {
  ltx::Header header;
  PageMap pages;
};

// Two bytes a page: which one, and what it is filled with. A byte above 0xF0 begins the next file.
std::vector<Part> ReadParts(ByteView bytes, std::uint64_t first_txid) {
  std::vector<Part> parts;
  std::uint64_t txid = first_txid;
  std::size_t i = 0;
  while (i + 1 < bytes.size() && parts.size() < 12) {
    const auto commit = 1 + std::to_integer<std::uint32_t>(bytes[i++]) % 32;
    Part part{.header = ltx::testing::IncrementalHeader(kPageSize, commit, txid++), .pages = {}};
    for (; i + 1 < bytes.size() && bytes[i] <= std::byte{0xF0}; i += 2) {
      const PageNo page_no{1 + std::to_integer<std::uint32_t>(bytes[i]) % commit};
      part.pages[page_no] = Bytes(kPageSize, bytes[i + 1]);
    }
    ++i;
    if (part.header.IsSnapshot()) {  // complete, or the encoder refuses it
      for (std::uint32_t n = 1; n <= commit; ++n) {
        part.pages.try_emplace(PageNo{n}, Bytes(kPageSize));
      }
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  const std::vector<Part> parts = ReadParts(bytes.subspan(1), 1 + (data[0] & 1));
  if (parts.empty()) return 0;

  PageMap model;
  std::vector<Bytes> files;
  for (const Part& part : parts) {
    for (const auto& [n, page] : part.pages) model[n] = page;
    files.push_back(ltx::testing::Encode(part.header, part.pages).value());
  }
  const std::uint32_t commit = parts.back().header.commit_pages;
  std::erase_if(model, [&](const auto& entry) { return ToInt(entry.first) > commit; });
  const bool complete = !parts.front().header.IsSnapshot() || model.size() == commit;

  std::vector<SpanSource> sources(files.begin(), files.end());
  std::vector<ByteSource*> inputs;
  for (SpanSource& source : sources) inputs.push_back(&source);
  VectorSink sink;
  const auto merged = ltx::Merge(inputs, sink, {});
  RUNNEL_CHECK(merged.has_value() == complete);
  if (!merged) return 0;
  const auto file = ltx::testing::Decode(sink.bytes());
  RUNNEL_CHECK(file.has_value() && file->pages == model);
  return 0;
}
