#include "base/byte_stream.h"

#include <algorithm>

namespace runnel {

Result<void> ReadExactly(ByteSource& source, MutableBytes out) {
  while (!out.empty()) {
    RUNNEL_TRY(const std::size_t count, source.Read(out));
    if (count == 0) return Fail(Errc::kCorruption, "unexpected end of data");
    out = out.subspan(count);
  }
  return {};
}

Result<void> VectorSink::Append(ByteView bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return {};
}

Result<std::size_t> SpanSource::Read(MutableBytes out) {
  const std::size_t count = std::min(out.size(), rest_.size());
  std::ranges::copy(rest_.first(count), out.begin());
  rest_ = rest_.subspan(count);
  return count;
}

}  // namespace runnel
