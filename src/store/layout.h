// How the objects of a replica are named (docs/formats/store-layout.md).
//
// Litestream has two families of layouts, and a replica cannot be copied from one to the other
// without renaming: file stores have `ltx/<level>/<name>`, S3 has `<level as %04x>/<name>`.

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "store/object_store.h"

namespace runnel::store {

enum class LayoutKind : std::uint8_t { kTree, kFlat };  // file and its kin; S3 and OSS

// The txids that a file covers, both ends included.
struct TxidRange {
  Txid min{};
  Txid max{};
  friend bool operator==(const TxidRange&, const TxidRange&) = default;
};

// "<16 hex>-<16 hex>.ltx"
std::string LtxFileName(TxidRange range);
// Nothing if `name` is not exactly of that form: such a name is not ours and is left alone.
std::optional<TxidRange> ParseLtxFileName(std::string_view name);

// The names below one replica's path. A value.
class ReplicaLayout {
 public:
  // `root` is the replica's path in the store, without a slash at the end; may be empty.
  ReplicaLayout(LayoutKind kind, std::string root) : kind_(kind), root_(std::move(root)) {}

  ObjectKey LtxKey(Level level, TxidRange range) const;
  std::string LevelPrefix(Level level) const;  // ends with '/'
  ObjectKey ClaimKey() const;                  // "<root>/runnel/claim.json"
  std::string RunnelPrefix() const;            // "<root>/runnel/"
  LayoutKind kind() const { return kind_; }
  const std::string& root() const { return root_; }

 private:
  std::string Join(std::string_view tail) const;

  LayoutKind kind_;
  std::string root_;
};

}  // namespace runnel::store
