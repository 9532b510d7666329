#include "base/ids.h"

#include <algorithm>
#include <charconv>

namespace runnel {
namespace {

constexpr std::size_t kTxidDigits = 16;

bool IsHexDigit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

}  // namespace

std::string FormatTxid(Txid txid) {
  std::string text(kTxidDigits, '0');
  std::uint64_t value = ToInt(txid);
  for (auto digit = text.rbegin(); digit != text.rend(); ++digit, value >>= 4) {
    *digit = "0123456789abcdef"[value & 0xF];
  }
  return text;
}

std::optional<Txid> ParseTxid(std::string_view text) {
  if (text.size() != kTxidDigits || !std::ranges::all_of(text, IsHexDigit)) return std::nullopt;
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return Txid{value};
}

}  // namespace runnel
