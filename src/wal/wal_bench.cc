// How fast a WAL is proven, the first thing that every captured byte goes through.

#include <benchmark/benchmark.h>

#include "wal/frame_reader.h"
#include "wal/testing.h"

namespace runnel::wal {
namespace {

void BM_Verify(benchmark::State& state) {
  const auto order = state.range(0) == 0 ? ByteOrder::kLittle : ByteOrder::kBig;
  const auto page_size = static_cast<std::uint32_t>(state.range(1));
  testing::WalWriter writer(order, page_size, {.salt1 = 1, .salt2 = 2}, 0);
  Bytes page(page_size);
  for (std::uint32_t n = 1; n <= 1000; ++n) {
    PutBigEndian(page, n % page_size / 4 * 4, n * 2654435761U);
    writer.Add(n, n % 4 == 0 ? n : 0, page);
  }
  const ByteView wal = writer.bytes();
  for (auto _ : state) {
    FrameReader reader(Position::AfterHeader(ParseHeader(wal).value()), wal.subspan(kHeaderSize));
    while (reader.Next()) {
    }
    if (ToInt(reader.position().frame_no) != 1000) std::abort();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(wal.size()));
}
BENCHMARK(BM_Verify)->ArgNames({"big_endian", "page"})->ArgsProduct({{0, 1}, {1024, 4096, 65536}});

void BM_Memcpy(benchmark::State& state) {
  const Bytes from(4'120'000);
  Bytes to(from.size());
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), from.size());
    benchmark::DoNotOptimize(to.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(from.size()));
}
BENCHMARK(BM_Memcpy);

}  // namespace
}  // namespace runnel::wal
