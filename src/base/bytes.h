// Byte spans and fixed-width integers in them.

#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "base/check.h"

namespace runnel {

using ByteView = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;
using Bytes = std::vector<std::byte>;

inline ByteView AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
inline std::string_view AsText(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

enum class ByteOrder : std::uint8_t { kLittle, kBig };

// The integer at `offset` of `in`. The caller has made sure that it lies inside.
template <std::unsigned_integral T>
T GetInt(ByteView in, std::size_t offset, ByteOrder order) {
  RUNNEL_CHECK(offset <= in.size() && sizeof(T) <= in.size() - offset);
  T value;
  std::memcpy(&value, in.data() + offset, sizeof(T));
  const bool native_is_little = std::endian::native == std::endian::little;
  return (order == ByteOrder::kLittle) == native_is_little ? value : std::byteswap(value);
}

template <std::unsigned_integral T>
void PutInt(MutableBytes out, std::size_t offset, T value, ByteOrder order) {
  RUNNEL_CHECK(offset <= out.size() && sizeof(T) <= out.size() - offset);
  const bool native_is_little = std::endian::native == std::endian::little;
  if ((order == ByteOrder::kLittle) != native_is_little) value = std::byteswap(value);
  std::memcpy(out.data() + offset, &value, sizeof(T));
}

template <std::unsigned_integral T>
T GetBigEndian(ByteView in, std::size_t offset) {
  return GetInt<T>(in, offset, ByteOrder::kBig);
}
template <std::unsigned_integral T>
void PutBigEndian(MutableBytes out, std::size_t offset, T value) {
  PutInt<T>(out, offset, value, ByteOrder::kBig);
}
template <std::unsigned_integral T>
T GetLittleEndian(ByteView in, std::size_t offset) {
  return GetInt<T>(in, offset, ByteOrder::kLittle);
}
template <std::unsigned_integral T>
void PutLittleEndian(MutableBytes out, std::size_t offset, T value) {
  PutInt<T>(out, offset, value, ByteOrder::kLittle);
}

}  // namespace runnel
