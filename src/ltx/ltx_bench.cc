// LTX beside raw LZ4 on the same pages: how much of the speed of the compressor is left for the
// user. Pages are like those of b-trees; one in eight is incompressible.

#include <benchmark/benchmark.h>
#include <lz4.h>

#include <vector>

#include "ltx/merge.h"
#include "ltx/testing.h"

namespace runnel::ltx {
namespace {

constexpr std::uint32_t kPageCount = 2048;

std::vector<Bytes> MakePages(std::uint32_t page_size) {
  std::mt19937_64 random(42);
  std::vector<Bytes> pages;
  for (std::uint32_t n = 1; n <= kPageCount; ++n) {
    pages.push_back(n % 8 == 0 ? testing::RandomPage(random, page_size)
                               : testing::BtreePage(random, page_size));
  }
  return pages;
}

DatabaseChecksum SumOf(const std::vector<Bytes>& pages) {
  ChainSum sum;
  for (std::size_t i = 0; i < pages.size(); ++i) {
    sum.Add(PageChecksum(PageNo{static_cast<std::uint32_t>(i) + 1}, pages[i]));
  }
  return sum.value();
}

// Takes everything and keeps nothing.
class NullSink final : public ByteSink {
 public:
  Result<void> Append(ByteView bytes) override {
    benchmark::DoNotOptimize(bytes.data());
    size_ += bytes.size();
    return {};
  }
  std::uint64_t size() const { return size_; }

 private:
  std::uint64_t size_ = 0;
};

// `snapshot` files carry a chain, whose sum both sides compute.
enum class Kind : std::int64_t { kIncremental, kSnapshot };

Header HeaderOf(const std::vector<Bytes>& pages, Kind kind) {
  const auto page_size = static_cast<std::uint32_t>(pages[0].size());
  if (kind == Kind::kIncremental) return testing::IncrementalHeader(page_size, kPageCount, 2);
  Header header = testing::SnapshotHeader(page_size, kPageCount, 2);
  header.chain = Chain{.before = {}, .after = SumOf(pages)};
  return header;
}

void EncodeTo(ByteSink& sink, const Header& header, const std::vector<Bytes>& pages,
              PageEncoding encoding) {
  Encoder encoder(sink, {.encoding = encoding});
  if (!encoder.WriteHeader(header)) std::abort();
  for (std::uint32_t i = 0; i < pages.size(); ++i) {
    if (!encoder.WritePage(PageNo{i + 1}, pages[i])) std::abort();
  }
  if (!encoder.Finish()) std::abort();
}

void CountBytes(benchmark::State& state, const std::vector<Bytes>& pages) {
  state.SetBytesProcessed(state.iterations() *
                          static_cast<std::int64_t>(pages.size() * pages[0].size()));
}

void BM_RawLz4Compress(benchmark::State& state) {
  const auto pages = MakePages(static_cast<std::uint32_t>(state.range(0)));
  const int page_size = static_cast<int>(pages[0].size());
  std::vector<char> out(static_cast<std::size_t>(LZ4_compressBound(page_size)));
  for (auto _ : state) {
    for (const Bytes& page : pages) {
      benchmark::DoNotOptimize(LZ4_compress_default(reinterpret_cast<const char*>(page.data()),
                                                    out.data(), page_size,
                                                    static_cast<int>(out.size())));
    }
  }
  CountBytes(state, pages);
}
BENCHMARK(BM_RawLz4Compress)->Arg(1024)->Arg(4096)->Arg(16384);

void BM_Encode(benchmark::State& state) {
  const auto pages = MakePages(static_cast<std::uint32_t>(state.range(0)));
  const Header header = HeaderOf(pages, static_cast<Kind>(state.range(1)));
  std::uint64_t size = 0;
  for (auto _ : state) {
    NullSink sink;
    EncodeTo(sink, header, pages, PageEncoding::kBlock);
    size = sink.size();
  }
  CountBytes(state, pages);
  state.counters["ratio"] =
      static_cast<double>(size) / static_cast<double>(pages.size() * pages[0].size());
}
BENCHMARK(BM_Encode)->ArgNames({"page", "snapshot"})->ArgsProduct({{1024, 4096, 16384}, {0, 1}});

void BM_EncodeLegacyFrames(benchmark::State& state) {
  const auto pages = MakePages(4096);
  const Header header = HeaderOf(pages, Kind::kIncremental);
  for (auto _ : state) {
    NullSink sink;
    EncodeTo(sink, header, pages, PageEncoding::kFrame);
  }
  CountBytes(state, pages);
}
BENCHMARK(BM_EncodeLegacyFrames);

void BM_RawLz4Decompress(benchmark::State& state) {
  const auto pages = MakePages(static_cast<std::uint32_t>(state.range(0)));
  const int page_size = static_cast<int>(pages[0].size());
  std::vector<std::vector<char>> blocks;
  for (const Bytes& page : pages) {
    std::vector<char> out(static_cast<std::size_t>(LZ4_compressBound(page_size)));
    const int size = LZ4_compress_default(reinterpret_cast<const char*>(page.data()), out.data(),
                                          page_size, static_cast<int>(out.size()));
    out.resize(static_cast<std::size_t>(size));
    blocks.push_back(std::move(out));
  }
  std::vector<char> page(static_cast<std::size_t>(page_size));
  for (auto _ : state) {
    for (const auto& block : blocks) {
      benchmark::DoNotOptimize(LZ4_decompress_safe(block.data(), page.data(),
                                                   static_cast<int>(block.size()), page_size));
    }
  }
  CountBytes(state, pages);
}
BENCHMARK(BM_RawLz4Decompress)->Arg(1024)->Arg(4096)->Arg(16384);

void BM_Decode(benchmark::State& state) {
  const auto pages = MakePages(static_cast<std::uint32_t>(state.range(0)));
  VectorSink file;
  EncodeTo(file, HeaderOf(pages, static_cast<Kind>(state.range(1))), pages, PageEncoding::kBlock);
  for (auto _ : state) {
    SpanSource source(file.bytes());
    Decoder decoder(source);
    if (!decoder.ReadHeader() || !decoder.Finish()) std::abort();
  }
  CountBytes(state, pages);
}
BENCHMARK(BM_Decode)->ArgNames({"page", "snapshot"})->ArgsProduct({{1024, 4096, 16384}, {0, 1}});

void BM_MergeSnapshotWithTen(benchmark::State& state) {
  const auto pages = MakePages(4096);
  std::vector<Bytes> files;
  VectorSink snapshot;
  Header header = HeaderOf(pages, Kind::kSnapshot);
  header.max_txid = Txid{1};
  header.chain.reset();
  EncodeTo(snapshot, header, pages, PageEncoding::kBlock);
  files.push_back(snapshot.bytes());
  for (std::uint32_t txid = 2; txid <= 11; ++txid) {
    testing::PageMap changed;
    for (std::uint32_t n = txid; n <= kPageCount; n += 20) changed[PageNo{n}] = pages[n - 1];
    files.push_back(
        testing::Encode(testing::IncrementalHeader(4096, kPageCount, txid), changed).value());
  }
  for (auto _ : state) {
    std::vector<SpanSource> sources(files.begin(), files.end());
    std::vector<ByteSource*> inputs;
    for (SpanSource& source : sources) inputs.push_back(&source);
    NullSink sink;
    if (!Merge(inputs, sink, {})) std::abort();
  }
  CountBytes(state, pages);
}
BENCHMARK(BM_MergeSnapshotWithTen);

void BM_PageChecksum(benchmark::State& state) {
  const auto pages = MakePages(4096);
  for (auto _ : state) {
    for (std::uint32_t i = 0; i < pages.size(); ++i) {
      benchmark::DoNotOptimize(PageChecksum(PageNo{i + 1}, pages[i]));
    }
  }
  CountBytes(state, pages);
}
BENCHMARK(BM_PageChecksum);

void BM_Crc64(benchmark::State& state) {
  const auto pages = MakePages(4096);
  for (auto _ : state) {
    Crc64 crc;
    for (const Bytes& page : pages) crc.Update(page);
    benchmark::DoNotOptimize(crc.value());
  }
  CountBytes(state, pages);
}
BENCHMARK(BM_Crc64);

}  // namespace
}  // namespace runnel::ltx
