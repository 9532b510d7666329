#include "replicate/manifest.h"

#include <algorithm>
#include <string_view>
#include <tuple>

namespace runnel::replicate {
namespace {

auto ByRange(const ReplicaFile& file) { return std::tuple(file.range.min, file.range.max); }
auto KeyOf(const store::TxidRange& range) { return std::tuple(range.min, range.max); }

Level LevelOf(std::size_t index) { return Level{static_cast<std::uint8_t>(index)}; }

bool Reaches(const ReplicaFile& file, Txid end) { return file.range.min <= Next(end); }

// The further one; of two as far the longer one, of two alike the higher level.
bool IsBetter(const LeveledFile& a, const LeveledFile& b) {
  const auto rank = [](const LeveledFile& f) {
    return std::tuple(~ToInt(f.file.range.max), ToInt(f.file.range.min), -ToInt(f.level));
  };
  return rank(a) < rank(b);
}

}  // namespace

Result<Manifest> Manifest::List(store::ObjectStore& store, const store::ReplicaLayout& layout) {
  Manifest manifest;
  for (std::size_t i = 0; i < manifest.levels_.size(); ++i) {
    const std::string prefix = layout.LevelPrefix(LevelOf(i));
    RUNNEL_TRY(const auto objects, store::ListAll(store, prefix));
    std::vector<ReplicaFile>& files = manifest.levels_[i];
    files.reserve(objects.size());
    for (const store::ObjectInfo& object : objects) {
      const auto name = std::string_view(object.key.text()).substr(prefix.size());
      const auto range = store::ParseLtxFileName(name);
      if (!range || range->min == Txid{0} || range->min > range->max) continue;
      files.push_back({*range, object.size_bytes, object.timestamp});
    }
    std::ranges::sort(files, {}, ByRange);
  }
  return manifest;
}

void Manifest::Add(Level level, const ReplicaFile& file) {
  auto& files = levels_[Index(level)];
  const auto at = std::ranges::lower_bound(files, ByRange(file), {}, ByRange);
  if (at != files.end() && at->range == file.range) {
    *at = file;
  } else {
    files.insert(at, file);
  }
}

bool Manifest::Remove(Level level, const store::TxidRange& range) {
  auto& files = levels_[Index(level)];
  const auto at = std::ranges::lower_bound(files, KeyOf(range), {}, ByRange);
  if (at == files.end() || at->range != range) return false;
  files.erase(at);
  if (files.empty()) files.shrink_to_fit();
  return true;
}

std::optional<ReplicaFile> Manifest::Find(Level level, const store::TxidRange& range) const {
  const auto& level_files = files(level);
  const auto at = std::ranges::lower_bound(level_files, KeyOf(range), {}, ByRange);
  if (at == level_files.end() || at->range != range) return std::nullopt;
  return *at;
}

bool Manifest::empty() const { return file_count() == 0; }

std::size_t Manifest::file_count() const {
  std::size_t count = 0;
  for (const auto& files : levels_) count += files.size();
  return count;
}

std::uint64_t Manifest::total_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& files : levels_) {
    for (const ReplicaFile& file : files) bytes += file.size_bytes;
  }
  return bytes;
}

Txid Manifest::newest() const {
  Txid newest_txid{};
  for (std::size_t i = 0; i < levels_.size(); ++i) {
    newest_txid = std::max(newest_txid, newest(LevelOf(i)));
  }
  return newest_txid;
}

Txid Manifest::newest(Level level) const {
  // Files of a level may overlap where two writers met, so the last one need not end last.
  Txid newest_txid{};
  for (const ReplicaFile& file : files(level)) newest_txid = std::max(newest_txid, file.range.max);
  return newest_txid;
}

WallTime Manifest::newest_timestamp() const {
  WallTime newest_time{};
  for (const auto& files : levels_) {
    for (const ReplicaFile& file : files) newest_time = std::max(newest_time, file.timestamp);
  }
  return newest_time;
}

bool Manifest::Covers(Level level, Txid txid) const {
  const auto& level_files = files(level);
  auto after = std::ranges::upper_bound(level_files, txid, {},
                                        [](const ReplicaFile& file) { return file.range.min; });
  while (after != level_files.begin()) {
    if ((--after)->range.max >= txid) return true;
  }
  return false;
}

std::vector<LeveledFile> Manifest::PathTo(Txid limit) const {
  std::vector<LeveledFile> candidates;
  for (std::size_t i = 0; i < levels_.size(); ++i) {
    for (const ReplicaFile& file : levels_[i]) {
      if (file.range.max <= limit) candidates.push_back({LevelOf(i), file});
    }
  }
  std::ranges::sort(candidates, {}, [](const LeveledFile& f) { return f.file.range.min; });
  std::vector<LeveledFile> path;
  Txid end{};
  const LeveledFile* best = nullptr;
  auto next = candidates.cbegin();
  while (true) {
    for (; next != candidates.cend() && Reaches(next->file, end); ++next) {
      if (best == nullptr || IsBetter(*next, *best)) best = &*next;
    }
    if (best == nullptr || best->file.range.max <= end) return path;
    path.push_back(*best);
    end = best->file.range.max;
  }
}

Txid Manifest::reach() const {
  const auto path = PathTo(Txid{~std::uint64_t{0}});
  return path.empty() ? Txid{0} : path.back().file.range.max;
}

}  // namespace runnel::replicate
