#include "restore/inventory.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <tuple>
#include <utility>

#include "restore/empty_replica.h"
#include "restore/parallel.h"

namespace runnel::restore {
namespace {

std::optional<LtxFile> ParseObject(const store::ObjectInfo& object, Level level,
                                   std::string_view prefix) {
  const std::string_view name = std::string_view(object.key.text()).substr(prefix.size());
  const auto range = store::ParseLtxFileName(name);
  if (!range || range->min == Txid{0} || range->min > range->max) return std::nullopt;
  return LtxFile{.level = level,
                 .range = *range,
                 .size_bytes = object.size_bytes,
                 .timestamp = object.timestamp};
}

Result<std::vector<LtxFile>> ListLevel(const Source& source, Level level) {
  const std::string prefix = source.layout->LevelPrefix(level);
  RUNNEL_TRY(const auto objects, store::ListAll(*source.store, prefix));
  std::vector<LtxFile> files;
  files.reserve(objects.size());
  for (const store::ObjectInfo& object : objects) {
    if (auto file = ParseObject(object, level, prefix)) files.push_back(*file);
  }
  return files;
}

// Ranges known to be usable, asked whether one of them holds another range.
class CoveredRanges {
 public:
  // Sorts and indexes what is in `ranges`.
  explicit CoveredRanges(std::vector<store::TxidRange> ranges) : ranges_(std::move(ranges)) {
    std::ranges::sort(ranges_, {}, &store::TxidRange::min);
    Txid reach{};
    for (store::TxidRange& range : ranges_) range.max = reach = std::max(reach, range.max);
  }

  bool Contains(const store::TxidRange& range) const {
    // `max` is the furthest of all ranges that begin no later.
    const auto after = std::ranges::upper_bound(ranges_, range.min, {}, &store::TxidRange::min);
    return after != ranges_.begin() && std::prev(after)->max >= range.max;
  }

 private:
  std::vector<store::TxidRange> ranges_;
};

enum class Presence : std::uint8_t { kThere, kGone };

Result<void> AskTimes(const Source& source, std::span<LtxFile> files, std::span<Presence> presence,
                      int parallelism, const std::stop_token& stop) {
  return ParallelFor(files.size(), parallelism, stop, [&](std::size_t i) -> Result<void> {
    auto info = source.store->Head(source.KeyOf(files[i]));
    if (!info && info.error().code() == Errc::kNotFound) {
      presence[i] = Presence::kGone;
      return {};
    }
    if (!info) return Fail(std::move(info).error());
    files[i].timestamp = info->timestamp;
    return {};
  });
}

// Resolves level after level, from snapshots down, remembering what was learnt.
class TimeResolver {
 public:
  TimeResolver(const Source& source, WallTime before, int parallelism, const std::stop_token& stop)
      : source_(source), before_(before), parallelism_(parallelism), stop_(stop) {}

  Result<void> ResolveLevel(std::span<const LtxFile> level_files, std::vector<LtxFile>& out) {
    const CoveredRanges covered(usable_);
    std::vector<LtxFile> asked;
    for (const LtxFile& file : level_files) {
      if (covered.Contains(file.range)) continue;
      if (file.level != kLevelSnapshot && too_new_ && file.range.max >= *too_new_) {
        out.push_back(file);
        out.back().timestamp = WallTime::max();
      } else {
        asked.push_back(file);
      }
    }
    std::vector<Presence> presence(asked.size(), Presence::kThere);
    RUNNEL_TRY_VOID(AskTimes(source_, asked, presence, parallelism_, stop_));
    for (std::size_t i = 0; i < asked.size(); ++i) {
      if (presence[i] == Presence::kGone) continue;
      Learn(asked[i]);
      out.push_back(asked[i]);
    }
    return {};
  }

 private:
  void Learn(const LtxFile& file) {
    if (file.timestamp < before_) {
      usable_.push_back(file.range);
    } else if (file.level != kLevelSnapshot) {
      // Any file that ends there or later has that commit or a later one as its newest. This is
      // not so for a snapshot, whose time is that of its making.
      too_new_ = std::min(too_new_.value_or(file.range.max), file.range.max);
    }
  }

  const Source& source_;
  const WallTime before_;
  const int parallelism_;
  const std::stop_token& stop_;
  std::vector<store::TxidRange> usable_;
  std::optional<Txid> too_new_;  // smallest end of a file that is not before the target
};

void Sort(std::vector<LtxFile>& files) {
  std::ranges::sort(files, {}, [](const LtxFile& file) {
    return std::tuple(ToInt(file.level), file.range.min, file.range.max);
  });
}

}  // namespace

Txid Inventory::newest() const {
  Txid newest{};
  for (const LtxFile& file : files) newest = std::max(newest, file.range.max);
  return newest;
}

std::string Source::Location() const {
  if (layout->root().empty()) return store->location();
  return fmt::format("{} (path '{}')", store->location(), layout->root());
}

Result<Inventory> ListReplica(const Source& source, int parallelism, const std::stop_token& stop) {
  std::array<std::vector<LtxFile>, kLevelCount> levels;
  RUNNEL_TRY_VOID(ParallelFor(levels.size(), parallelism, stop, [&](std::size_t i) -> Result<void> {
    RUNNEL_TRY(levels[i], ListLevel(source, Level{static_cast<std::uint8_t>(i)}));
    return {};
  }));
  Inventory inventory;
  for (const auto& level : levels) {
    inventory.files.insert(inventory.files.end(), level.begin(), level.end());
  }
  if (inventory.files.empty()) return Fail(ExplainEmptyReplica(source));
  Sort(inventory.files);
  return inventory;
}

Result<Inventory> ResolveTimes(const Source& source, Inventory inventory, WallTime before,
                               int parallelism, const std::stop_token& stop) {
  if (source.store->capabilities().timestamps_in_list) return inventory;
  TimeResolver resolver(source, before, parallelism, stop);
  Inventory resolved;
  for (int level = kLevelCount - 1; level >= 0; --level) {
    const auto files = std::ranges::equal_range(
        inventory.files, level, {}, [](const LtxFile& file) { return ToInt(file.level); });
    RUNNEL_TRY_VOID(resolver.ResolveLevel(files, resolved.files));
  }
  Sort(resolved.files);
  return resolved;
}

}  // namespace runnel::restore
