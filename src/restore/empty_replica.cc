#include "restore/empty_replica.h"

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>

namespace runnel::restore {
namespace {

constexpr std::size_t kLooked = 1000;  // names looked at; enough to recognize a neighbour

struct FoundReplica {
  std::string root;
  store::LayoutKind kind;
};

std::string_view KindName(store::LayoutKind kind) {
  return kind == store::LayoutKind::kTree ? "ltx/<level>/ (as file stores have it)"
                                          : "<level as 4 hex digits>/ (as S3 has it)";
}

store::LayoutKind OtherKind(store::LayoutKind kind) {
  return kind == store::LayoutKind::kTree ? store::LayoutKind::kFlat : store::LayoutKind::kTree;
}

// The replica that a key belongs to, if it is the name of an LTX file in either layout.
std::optional<FoundReplica> ReplicaOfKey(const store::ObjectKey& key) {
  const std::string_view text = key.text();
  const std::size_t name_at = text.rfind('/');
  if (name_at == std::string_view::npos || !store::ParseLtxFileName(text.substr(name_at + 1))) {
    return std::nullopt;
  }
  for (int level = 0; level < kLevelCount; ++level) {
    for (const auto kind : {store::LayoutKind::kTree, store::LayoutKind::kFlat}) {
      const std::string tail =
          store::ReplicaLayout(kind, "").LevelPrefix(Level{static_cast<std::uint8_t>(level)});
      const std::string_view folder = text.substr(0, name_at + 1);
      if (folder == tail) return FoundReplica{"", kind};
      if (folder.ends_with("/" + tail)) {
        return FoundReplica{std::string(folder.substr(0, folder.size() - tail.size() - 1)), kind};
      }
    }
  }
  return std::nullopt;
}

Result<bool> HasReplica(store::ObjectStore& store, const std::string& root,
                        store::LayoutKind kind) {
  const store::ReplicaLayout layout(kind, root);
  for (int level = kLevelCount - 1; level >= 0; --level) {
    RUNNEL_TRY(const store::ListPage page,
               store.List(layout.LevelPrefix(Level{static_cast<std::uint8_t>(level)}), std::nullopt,
                          kLooked));
    for (const store::ObjectInfo& object : page.objects) {
      if (ReplicaOfKey(object.key)) return true;
    }
  }
  return false;
}

std::string Quoted(const std::string& root) {
  return root.empty() ? "the root of the store" : fmt::format("path '{}'", root);
}

// What lies at or below `root`, in a few words; nothing if nothing does.
Result<std::optional<std::string>> DescribeBelow(store::ObjectStore& store,
                                                 const std::string& root) {
  const std::string prefix = root.empty() ? "" : root + "/";
  RUNNEL_TRY(const store::ListPage page, store.List(prefix, std::nullopt, kLooked));
  for (const store::ObjectInfo& object : page.objects) {
    if (const auto found = ReplicaOfKey(object.key)) {
      return fmt::format("there is a replica at {}", Quoted(found->root));
    }
    if (object.key.text().contains("generations/")) {
      return "there is a Litestream 0.3 backup (generations/), which is another format";
    }
  }
  if (page.objects.empty()) return std::nullopt;
  return fmt::format("there are other objects, '{}' for one", page.objects.front().key.text());
}

// The nearest folder above `root` that is itself a replica.
Result<std::optional<std::string>> DescribeAbove(store::ObjectStore& store, std::string root) {
  while (!root.empty()) {
    const std::size_t slash = root.rfind('/');
    root.resize(slash == std::string::npos ? 0 : slash);
    for (const auto kind : {store::LayoutKind::kTree, store::LayoutKind::kFlat}) {
      RUNNEL_TRY(const bool found, HasReplica(store, root, kind));
      if (found) return fmt::format("there is a replica above it, at {}", Quoted(root));
    }
  }
  return std::nullopt;
}

Result<std::string> Describe(const Source& source) {
  store::ObjectStore& store = *source.store;
  const std::string& root = source.layout->root();
  const store::LayoutKind other = OtherKind(source.layout->kind());
  RUNNEL_TRY(const bool other_kind, HasReplica(store, root, other));
  if (other_kind) {
    return fmt::format("its objects are named {}, not {}", KindName(other),
                       KindName(source.layout->kind()));
  }
  RUNNEL_TRY(auto below, DescribeBelow(store, root));
  if (below) return *std::move(below);
  RUNNEL_TRY(auto above, DescribeAbove(store, root));
  if (above) return *std::move(above);
  return "nothing is there";
}

}  // namespace

Error ExplainEmptyReplica(const Source& source) {
  auto description = Describe(source);
  if (!description) return std::move(description).error().Context(source.Location());
  return {Errc::kNotFound, fmt::format("no backup in {}: {}", source.Location(), *description)};
}

}  // namespace runnel::restore
