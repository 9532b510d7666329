#include "store/layout.h"

#include <fmt/format.h>

#include <algorithm>

namespace runnel::store {
namespace {

constexpr std::size_t kTxidSize = 16;
constexpr std::string_view kExtension = ".ltx";

// Unlike ParseTxid(), in lower case only: a name has one form.
std::optional<Txid> ParseNamedTxid(std::string_view text) {
  const bool has_upper_case =
      std::ranges::any_of(text, [](char c) { return c >= 'A' && c <= 'F'; });
  if (has_upper_case) return std::nullopt;
  return ParseTxid(text);
}

}  // namespace

std::string LtxFileName(TxidRange range) {
  return fmt::format("{}-{}{}", FormatTxid(range.min), FormatTxid(range.max), kExtension);
}

std::optional<TxidRange> ParseLtxFileName(std::string_view name) {
  if (name.size() != 2 * kTxidSize + 1 + kExtension.size()) return std::nullopt;
  if (name[kTxidSize] != '-' || !name.ends_with(kExtension)) return std::nullopt;
  const auto min = ParseNamedTxid(name.substr(0, kTxidSize));
  const auto max = ParseNamedTxid(name.substr(kTxidSize + 1, kTxidSize));
  if (!min || !max || *min == Txid{0} || *min > *max) return std::nullopt;
  return TxidRange{.min = *min, .max = *max};
}

ObjectKey ReplicaLayout::LtxKey(Level level, TxidRange range) const {
  return ObjectKey(LevelPrefix(level) + LtxFileName(range));
}

std::string ReplicaLayout::LevelPrefix(Level level) const {
  return Join(kind_ == LayoutKind::kTree ? fmt::format("ltx/{}/", ToInt(level))
                                         : fmt::format("{:04x}/", ToInt(level)));
}

ObjectKey ReplicaLayout::ClaimKey() const { return ObjectKey(RunnelPrefix() + "claim.json"); }

std::string ReplicaLayout::RunnelPrefix() const { return Join("runnel/"); }

std::string ReplicaLayout::Join(std::string_view tail) const {
  return root_.empty() ? std::string(tail) : fmt::format("{}/{}", root_, tail);
}

}  // namespace runnel::store
