// Whatever a store answers is read or refused.

#include <cstddef>
#include <cstdint>

#include "store/s3/times.h"
#include "store/s3/xml.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace runnel;
  const ByteView bytes = std::as_bytes(std::span(data, size));
  (void)store::s3::ParseError(bytes);
  (void)store::s3::ParseList(bytes);
  (void)store::s3::ParseUploadId(bytes);
  (void)store::s3::ParseCompletedEtag(bytes);
  (void)store::s3::ParseDelete(bytes);
  (void)store::s3::ParseSts(bytes);
  (void)store::s3::ParseHttpDate(AsText(bytes));
  if (const auto time = store::s3::ParseRfc3339(AsText(bytes))) {
    (void)store::s3::FormatRfc3339(*time);
  }
  return 0;
}
