#include "replicate/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>

#include "replicate/object_proof.h"
#include "runtime/worker_pool.h"

namespace runnel::replicate {
namespace {

constexpr std::string_view kCureSnapshot =
    "restore from another destination, or let the daemon make a snapshot: states up to there stay "
    "lost, later ones do not";

struct CheckedFile {
  LeveledFile file;
  std::optional<ltx::Header> header;  // proven, with all of the file
};

std::string RangeText(Txid first, Txid last) {
  return first == last ? fmt::format("txid {}", FormatTxid(first))
                       : fmt::format("txids {} to {}", FormatTxid(first), FormatTxid(last));
}

class Verifier {
 public:
  Verifier(store::ObjectStore& store, const store::ReplicaLayout& layout, Manifest manifest,
           const VerifyOptions& options)
      : store_(store), layout_(layout), manifest_(std::move(manifest)), options_(options) {}

  Result<VerifyResult> Run(const std::stop_token& stop) {
    Summarize();
    CheckLevels();
    CheckReach();
    RUNNEL_TRY_VOID(CheckObjects(stop));
    CheckChains();
    std::ranges::sort(result_.findings, {}, [](const Finding& finding) {
      return std::tuple(finding.severity != Severity::kError, finding.object, finding.kind);
    });
    return std::move(result_);
  }

 private:
  std::string KeyOf(const LeveledFile& file) const {
    return layout_.LtxKey(file.level, file.file.range).text();
  }

  void Report(FindingKind kind, Severity severity, const LeveledFile& file, std::string problem,
              std::string_view cure) {
    const std::lock_guard lock(mutex_);
    result_.findings.push_back({.kind = kind,
                                .severity = severity,
                                .object = KeyOf(file),
                                .problem = std::move(problem),
                                .cure = std::string(cure)});
  }

  void Summarize() {
    for (int i = 0; i < kLevelCount; ++i) {
      const Level level{static_cast<std::uint8_t>(i)};
      LevelSummary& summary = result_.levels[static_cast<std::size_t>(i)];
      for (const ReplicaFile& file : manifest_.files(level)) {
        ++summary.file_count;
        summary.total_bytes += file.size_bytes;
        files_.push_back({{level, file}, std::nullopt});
        total_.bytes_total += file.size_bytes;
      }
      if (summary.file_count != 0) summary.first = manifest_.files(level).front().range.min;
      summary.last = manifest_.newest(level);
    }
    total_.files_total = files_.size();
    result_.newest = manifest_.newest();
    result_.restorable = manifest_.reach();
  }

  void CheckLevels() {
    for (int i = 0; i < ToInt(kLevelSnapshot); ++i) {
      const Level level{static_cast<std::uint8_t>(i)};
      Txid end{};
      for (const ReplicaFile& file : manifest_.files(level)) {
        if (end != Txid{0}) CheckNeighbour({level, file}, end);
        end = std::max(end, file.range.max);
      }
    }
  }

  void CheckNeighbour(const LeveledFile& file, Txid end) {
    const Txid min = file.file.range.min;
    if (min <= end) {
      Report(FindingKind::kOverlap, Severity::kNote, file,
             fmt::format("{} are in an earlier file of level {} too",
                         RangeText(min, std::min(end, file.file.range.max)), ToInt(file.level)),
             "none needed: two writers met, a restore chooses one");
    } else if (min > Next(end) && !IsHeldElsewhere(file.level, Next(end), min)) {
      Report(FindingKind::kGap, Severity::kNote, file,
             fmt::format("{} are missing before it in level {}",
                         RangeText(Next(end), Txid{ToInt(min) - 1}), ToInt(file.level)),
             "none needed: a snapshot takes a restore past them; states between are lost");
    }
  }

  // Of L0 only what level 1 does not have must be there.
  bool IsHeldElsewhere(Level level, Txid first, Txid end) const {
    if (level != kLevelCut) return false;
    for (const ReplicaFile& file : manifest_.files(Level{1})) {
      if (file.range.min <= first && file.range.max >= first) first = Next(file.range.max);
    }
    return first >= end;
  }

  void CheckReach() {
    if (result_.restorable == result_.newest) return;
    LeveledFile next{};
    for (const CheckedFile& checked : files_) {
      const ReplicaFile& file = checked.file.file;
      const bool is_first = next.file.range.min == Txid{0} || file.range.min < next.file.range.min;
      if (file.range.max > result_.restorable && is_first) next = checked.file;
    }
    Report(FindingKind::kMissing, Severity::kError, next,
           fmt::format("{} are missing before it: the newest state cannot be restored",
                       RangeText(Next(result_.restorable), Txid{ToInt(next.file.range.min) - 1})),
           kCureSnapshot);
  }

  Result<void> CheckObjects(const std::stop_token& stop) {
    RUNNEL_TRY_VOID(runtime::ParallelFor(std::max<std::size_t>(options_.parallelism, 1),
                                         files_.size(), [&](std::size_t i) -> Result<void> {
                                           if (stop.stop_requested())
                                             return Fail(Errc::kCancelled, "stopped");
                                           CheckObject(files_[i]);
                                           return {};
                                         }));
    return DropVanished();
  }

  void CheckObject(CheckedFile& checked) {
    const LeveledFile& file = checked.file;
    auto proof = ProveObject(store_, layout_, file, nullptr);
    if (proof) {
      checked.header = *std::move(proof);
    } else if (proof.error().code() == Errc::kNotFound) {
      const std::lock_guard lock(mutex_);
      vanished_.push_back(file);
    } else if (proof.error().code() != Errc::kCorruption) {
      Report(FindingKind::kUnreadable, Severity::kError, file, proof.error().message(),
             "try again when the store answers");
    } else {
      Report(FindingKind::kDamaged, Severity::kError, file, proof.error().message(), kCureSnapshot);
    }
    Count(checked);
  }

  void Count(const CheckedFile& checked) {
    const std::lock_guard lock(mutex_);
    ++total_.files_done;
    total_.bytes_done += checked.file.file.size_bytes;
    if (checked.header) {
      ++result_.files_checked;
      result_.bytes_checked += checked.file.file.size_bytes;
      if (!checked.header->chain) ++result_.files_without_chain;
    }
    if (options_.progress) options_.progress(total_);
  }

  // An object that is listed and yet not there is damage; one that is not listed any more has had
  // its time.
  Result<void> DropVanished() {
    if (vanished_.empty()) return {};
    RUNNEL_TRY(const Manifest now, Manifest::List(store_, layout_));
    for (const LeveledFile& file : vanished_) {
      if (now.Find(file.level, file.file.range)) {
        Report(FindingKind::kUnreadable, Severity::kError, file, "it is listed, but not there",
               kCureSnapshot);
      } else {
        ++result_.files_vanished;
      }
    }
    return {};
  }

  // The checksum of a state is the same, whichever files lead to it.
  void CheckChains() {
    std::map<Txid, std::pair<DatabaseChecksum, const CheckedFile*>> after;
    for (const CheckedFile& checked : files_) {
      if (!checked.header || !checked.header->chain) continue;
      const auto [known, is_new] =
          after.try_emplace(checked.header->max_txid, checked.header->chain->after, &checked);
      if (!is_new && known->second.first != checked.header->chain->after) {
        Report(FindingKind::kChainBroken, Severity::kError, checked.file,
               fmt::format("it and {} leave different databases at txid {}",
                           KeyOf(known->second.second->file), FormatTxid(checked.header->max_txid)),
               kCureSnapshot);
      }
    }
    for (const CheckedFile& checked : files_) {
      if (!checked.header || !checked.header->chain) continue;
      if (checked.header->chain->before == DatabaseChecksum{0}) continue;
      const auto before = after.find(Txid{ToInt(checked.header->min_txid) - 1});
      if (before == after.end() || before->second.first == checked.header->chain->before) continue;
      Report(FindingKind::kChainBroken, Severity::kError, checked.file,
             fmt::format("it does not begin where {} ends", KeyOf(before->second.second->file)),
             kCureSnapshot);
    }
  }

  store::ObjectStore& store_;
  const store::ReplicaLayout& layout_;
  const Manifest manifest_;
  const VerifyOptions& options_;
  std::vector<CheckedFile> files_;

  std::mutex mutex_;  // guards what follows while objects are checked
  VerifyProgress total_;
  VerifyResult result_;
  std::vector<LeveledFile> vanished_;
};

}  // namespace

std::string_view FindingKindName(FindingKind kind) {
  switch (kind) {
    case FindingKind::kUnreadable: return "unreadable";
    case FindingKind::kDamaged: return "damaged";
    case FindingKind::kChainBroken: return "chain_broken";
    case FindingKind::kMissing: return "missing";
    case FindingKind::kGap: return "gap";
    case FindingKind::kOverlap: return "overlap";
  }
  std::unreachable();
}

bool VerifyResult::ok() const {
  return std::ranges::none_of(
      findings, [](const Finding& finding) { return finding.severity == Severity::kError; });
}

Result<VerifyResult> VerifyReplica(store::ObjectStore& store, const store::ReplicaLayout& layout,
                                   const VerifyOptions& options, const std::stop_token& stop) {
  RUNNEL_TRY(Manifest manifest, Manifest::List(store, layout));
  if (manifest.empty()) {
    return Fail(Errc::kNotFound,
                fmt::format("no LTX file in {} (path '{}')", store.location(), layout.root()));
  }
  return Verifier(store, layout, std::move(manifest), options).Run(stop);
}

}  // namespace runnel::replicate
