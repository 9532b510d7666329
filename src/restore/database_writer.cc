#include "restore/database_writer.h"

#include "ltx/chain.h"

namespace runnel::restore {

Result<void> DatabaseWriter::Write(std::span<const PageNo> numbers, ByteView pages) {
  RUNNEL_CHECK(pages.size() == numbers.size() * page_size_);
  if (proof_ == Proof::kChain) {
    ltx::ChainSum sum;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      sum.Add(ltx::PageChecksum(numbers[i], pages.subspan(i * page_size_, page_size_)));
    }
    checksum_.fetch_add(ToInt(sum.value()), std::memory_order_relaxed);
  }
  for (std::size_t begin = 0; begin < numbers.size();) {
    std::size_t end = begin + 1;
    while (end < numbers.size() && numbers[end] == Next(numbers[end - 1])) ++end;
    const std::uint64_t offset = std::uint64_t{ToInt(numbers[begin]) - 1} * page_size_;
    const ByteView run = pages.subspan(begin * page_size_, (end - begin) * page_size_);
    if (auto written = output_.WriteAt(offset, run); !written) {
      return Fail(faults_.AtTarget(std::move(written).error()));
    }
    begin = end;
  }
  written_bytes_.fetch_add(pages.size(), std::memory_order_relaxed);
  return {};
}

Result<void> DatabaseWriter::Sync() {
  if (auto synced = output_.Sync(); !synced) {
    return Fail(faults_.AtTarget(std::move(synced).error()));
  }
  return {};
}

}  // namespace runnel::restore
