// CRC-64 GO-ISO: reflected polynomial 0xD800000000000000, initial value and final XOR all ones.
// The check value of "123456789" is 0xB90956C775A41001. Source: Go's hash/crc64, used by LTX.

#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace runnel {

class Crc64 {
 public:
  void Update(ByteView bytes);
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0;
};

// The same function without hardware support; what Crc64 uses where isa-l is not built in, and
// what its tests compare with. Continues from `value`.
std::uint64_t UpdateCrc64Portable(std::uint64_t value, ByteView bytes);

}  // namespace runnel
