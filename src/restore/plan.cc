#include "restore/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <tuple>

namespace runnel::restore {
namespace {

using FilePointers = std::vector<const LtxFile*>;

Txid Previous(Txid txid) { return Txid{ToInt(txid) - 1}; }

// Rule (1) of the header.
bool IsBetter(const LtxFile& a, const LtxFile& b) {
  const auto rank = [](const LtxFile& file) {
    return std::tuple(~ToInt(file.range.max), ToInt(file.range.min), -ToInt(file.level),
                      file.timestamp);
  };
  return rank(a) < rank(b);
}

FilePointers Select(const Inventory& inventory, const std::function<bool(const LtxFile&)>& wanted) {
  FilePointers files;
  for (const LtxFile& file : inventory.files) {
    if (wanted(file)) files.push_back(&file);
  }
  return files;
}

// The chain of best files, as far as it goes.
std::vector<LtxFile> FollowBest(FilePointers files) {
  std::ranges::sort(files, {}, [](const LtxFile* file) { return file->range.min; });
  std::vector<LtxFile> chain;
  Txid end{};
  const LtxFile* best = nullptr;
  auto next = files.begin();
  while (true) {
    for (; next != files.end() && Previous((*next)->range.min) <= end; ++next) {
      if (best == nullptr || IsBetter(**next, *best)) best = *next;
    }
    if (best == nullptr || best->range.max <= end) return chain;
    chain.push_back(*best);
    end = best->range.max;
  }
}

Txid EndOf(const std::vector<LtxFile>& chain) {
  return chain.empty() ? Txid{} : chain.back().range.max;
}

Error HoleError(Txid first, Txid last, Txid reached) {
  const std::string what =
      first == last ? fmt::format("txid {} is", FormatTxid(first))
                    : fmt::format("txids {} to {} are", FormatTxid(first), FormatTxid(last));
  const std::string cure =
      reached == Txid{0}
          ? std::string("nothing before them can be restored")
          : fmt::format("txid {} can be restored by asking for it", FormatTxid(reached));
  return {Errc::kCorruption,
          fmt::format("the replica is not contiguous: {} missing; {}", what, cure)};
}

// The hole that keeps `files` from going on after `end`, if one of them goes further.
std::optional<Error> FindHole(const FilePointers& files, Txid end) {
  std::optional<Txid> next_min;
  for (const LtxFile* file : files) {
    if (file->range.max > end)
      next_min = std::min(next_min.value_or(file->range.min), file->range.min);
  }
  if (!next_min) return std::nullopt;
  return HoleError(Next(end), Previous(*next_min), end);
}

Result<Plan> PlanLatest(const Inventory& inventory) {
  const FilePointers files = Select(inventory, [](const LtxFile&) { return true; });
  Plan plan{FollowBest(files)};
  if (auto hole = FindHole(files, EndOf(plan.files))) return Fail(*std::move(hole));
  if (plan.files.empty()) return Fail(Errc::kNotFound, "no files");
  return plan;
}

Error UnreachableTxid(const Inventory& inventory, Txid txid) {
  const std::vector<Txid> points = RestorableTxids(inventory);
  const auto after = std::ranges::upper_bound(points, txid);
  std::string nearest;
  if (after != points.begin()) {
    nearest += fmt::format("nearest before it: {}", FormatTxid(*std::prev(after)));
  }
  if (after != points.end()) {
    nearest +=
        fmt::format("{}nearest after it: {}", nearest.empty() ? "" : ", ", FormatTxid(*after));
  }
  if (nearest.empty()) nearest = "no txid can be";
  return {Errc::kNotFound,
          fmt::format("txid {} cannot be restored exactly; {}", FormatTxid(txid), nearest)};
}

Result<Plan> PlanTxid(const Inventory& inventory, Txid txid) {
  Plan plan{
      FollowBest(Select(inventory, [&](const LtxFile& file) { return file.range.max <= txid; }))};
  if (txid == Txid{0} || EndOf(plan.files) != txid) return Fail(UnreachableTxid(inventory, txid));
  return plan;
}

Error NothingBefore(const Inventory& inventory, WallTime time) {
  std::optional<WallTime> oldest;
  for (const LtxFile& file : inventory.files) {
    if (file.range.min == Txid{1} && file.timestamp != WallTime::max()) {
      oldest = std::min(oldest.value_or(file.timestamp), file.timestamp);
    }
  }
  return {Errc::kNotFound,
          fmt::format("no backup from before {}; {}", FormatTime(time),
                      oldest ? fmt::format("the oldest is of {}", FormatTime(*oldest))
                             : std::string("no backup is complete"))};
}

// A compacted file that begins before the target's time and ends after it is no hole: that time
// is simply not kept in that detail. Only a txid that no file covers is one.
Result<Plan> PlanBefore(const Inventory& inventory, WallTime time) {
  const FilePointers files =
      Select(inventory, [&](const LtxFile& file) { return file.timestamp < time; });
  Plan plan{FollowBest(files)};
  const Txid end = EndOf(plan.files);
  const bool next_is_kept = std::ranges::any_of(inventory.files, [&](const LtxFile& file) {
    return file.range.min <= Next(end) && file.range.max > end;
  });
  if (auto hole = FindHole(files, end); hole && !next_is_kept) return Fail(*std::move(hole));
  if (plan.files.empty()) return Fail(NothingBefore(inventory, time));
  return plan;
}

}  // namespace

std::uint64_t Plan::size_bytes() const {
  std::uint64_t size = 0;
  for (const LtxFile& file : files) size += file.size_bytes;
  return size;
}

Result<Plan> MakePlan(const Inventory& inventory, const Target& target) {
  switch (target.kind()) {
    case Target::Kind::kLatest: return PlanLatest(inventory);
    case Target::Kind::kTxid: return PlanTxid(inventory, target.txid());
    case Target::Kind::kBefore: return PlanBefore(inventory, target.time());
  }
  std::unreachable();
}

std::vector<Txid> RestorableTxids(const Inventory& inventory) {
  FilePointers files = Select(inventory, [](const LtxFile&) { return true; });
  std::ranges::sort(files, {}, [](const LtxFile* file) { return file->range.max; });
  std::vector<Txid> points;
  // A file can be used if it can follow the furthest state before its own end.
  Txid before{};
  for (const LtxFile* file : files) {
    const Txid max = file->range.max;
    if (!points.empty() && points.back() == max) continue;
    if (!points.empty()) before = points.back();
    if (Previous(file->range.min) <= before) points.push_back(max);
  }
  return points;
}

std::string FormatTime(WallTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count());
}

}  // namespace runnel::restore
