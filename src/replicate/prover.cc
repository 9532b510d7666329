#include "replicate/prover.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "base/hash64.h"
#include "fs/file_stream.h"
#include "ltx/decoder.h"
#include "replicate/object_proof.h"

namespace runnel::replicate {
namespace {

constexpr std::uint64_t kScanBytesPerRun = std::uint64_t{4} << 20;
constexpr Txid kNoLimit{~std::uint64_t{0}};

// One for each place: a destination that moved is proven from the beginning.
std::string ArrayName(const Destination& destination) {
  const std::string place = destination.store().location() + '\n' + destination.layout().root();
  return fmt::format("proof-{:016x}", Hash64(AsBytes(place)));
}

}  // namespace

Prover::Prover(Destination& destination, CutSource& source, DestinationEvents& events,
               const LocalFiles& local, const Environment& environment)
    : destination_(destination),
      source_(source),
      events_(events),
      environment_(environment),
      errors_(environment.log, environment.clock),
      backoff_(std::chrono::seconds(1)),
      max_staging_bytes_(local.max_staging_bytes),
      array_(destination, local.spool_folder / ArrayName(destination), local, environment) {}

std::optional<MonotonicTime> Prover::Run() {
  const MonotonicTime now = environment_.clock.MonotonicNow();
  if (destination_.state() != DestinationState::kReplicating) {
    scan_.reset();
    (void)array_.Rest();
    return std::nullopt;
  }
  if (const auto until = backoff_.until(); until && now < *until) return until;
  auto next = Step(now);
  const bool goes_on = next && *next && **next <= now;
  if (!goes_on) {
    if (auto rested = array_.Rest(); !rested && next) next = Fail(std::move(rested).error());
  }
  if (next) return *next;
  if (scan_) EndComparison(now);
  if (next.error().code() == Errc::kCorruption) {
    Damaged(next.error());
  } else if (next.error().code() == Errc::kInternal) {
    // The replica is what was captured, and that is not what the database holds. A snapshot would
    // be refused for the same reason: only capture can mend it.
    destination_.NoteError(next.error());
    errors_.Log(LogLevel::kError, "a page was changed that capture has not seen; it is sent now",
                "destination", destination_.settings().name, next.error());
    if (!mending_) compare_not_before_.reset();  // to see it mended, but not over and over
    mending_ = true;
    source_.CompareAgain(capture::CompareExtent::kDifferingPages);
  } else {
    errors_.Log(LogLevel::kWarn, "the replica could not be proven, trying again", "destination",
                destination_.settings().name, next.error());
  }
  return backoff_.Failed(environment_.clock.MonotonicNow(), environment_.random);
}

void Prover::Damaged(const Error& error) {
  array_.Discard();  // to be built from the snapshot
  destination_.NoteError(error);
  errors_.Log(LogLevel::kError, "the replica is not what it should be, a snapshot is made",
              "destination", destination_.settings().name, error);
  destination_.RequireSnapshot({.urgency = SnapshotUrgency::kSoon,
                                .beyond = Txid{ToInt(destination_.position()) - 1},
                                .reason = error.message()});
  events_.OnSnapshotNeeded();
}

Result<WakeTime> Prover::Step(MonotonicTime now) {
  RUNNEL_TRY(const bool merged, ProveMerged());
  if (merged) return now;
  if (destination_.snapshot_need()) return std::nullopt;  // it changes what there is to prove
  const Txid limit = scan_ ? scan_->start().base : kNoLimit;
  RUNNEL_TRY(const bool advanced, array_.Advance(limit));
  if (advanced) return now;
  backoff_.Succeeded();  // only here: a step forward is none if the same object fails again
  return CompareStep(now);
}

Result<bool> Prover::ProveMerged() {
  const auto file = destination_.TakeUnproven();
  if (!file) return false;
  auto proven = ProveObject(destination_.store(), destination_.layout(), *file, nullptr);
  // Gone again: it was compacted or had its time.
  if (proven || proven.error().code() == Errc::kNotFound) return true;
  if (proven.error().code() != Errc::kCorruption) destination_.PutBackUnproven(*file);
  return Fail(
      proven.error().Context(destination_.layout().LtxKey(file->level, file->file.range).text()));
}

Result<WakeTime> Prover::CompareStep(MonotonicTime now) {
  if (scan_) {
    const Txid base = scan_->start().base;
    const bool is_coming = array_.txid() < base && destination_.position() < base;
    if (!source_.IsCurrent(*scan_) || (array_.txid() != base && !is_coming)) {
      EndComparison(now);
      return compare_not_before_;
    }
    // The scan keeps the cuts since, which are not to fill the disk for one that does not answer.
    if (is_coming && source_.staging().total_bytes() > max_staging_bytes_) {
      EndComparison(now);
      return compare_not_before_;
    }
    if (is_coming) return std::nullopt;
    RUNNEL_TRY(const bool more, ScanStep());
    if (more) return now;
    const auto newest = source_.staging().newest();
    if (!newest || newest->txid < wanted_) return std::nullopt;
    RUNNEL_TRY_VOID(Conclude());
    EndComparison(now);
    return std::nullopt;
  }
  if (array_.txid() == Txid{0} || array_.txid() <= destination_.proven()) return std::nullopt;
  if (compare_not_before_ && now < *compare_not_before_) return compare_not_before_;
  auto scan = source_.BeginScan();
  if (!scan && scan.error().code() == Errc::kBusy) return std::nullopt;
  if (!scan) return Fail(std::move(scan).error());
  scan_ = *std::move(scan);
  scanned_ = false;
  differences_.clear();
  return now;
}

void Prover::EndComparison(MonotonicTime now) {
  scan_.reset();
  differences_.clear();
  compare_not_before_ = now + destination_.settings().snapshot_interval;
}

// False once all pages were compared.
Result<bool> Prover::ScanStep() {
  if (scanned_) return false;
  const auto compare = [this](PageNo page_no, ByteView page) -> Result<void> {
    RUNNEL_TRY(const std::uint64_t replica, array_.Get(page_no));
    if (replica == ltx::PageChecksum(page_no, page)) return {};
    if (differences_.size() == kDifferencesMax) {
      return Fail(Errc::kUnavailable, "too many pages changed during the comparison");
    }
    differences_.insert(page_no);
    return {};
  };
  RUNNEL_TRY(const bool more, scan_->Step(kScanBytesPerRun, compare));
  if (more) return true;
  scanned_ = true;
  RUNNEL_TRY(wanted_, source_.RequestCut());
  return false;
}

Result<void> Prover::Conclude() {
  const Txid base = scan_->start().base;
  RUNNEL_TRY_VOID(ForgetChangedSince(base, wanted_));
  if (!differences_.empty()) {
    return Fail(Errc::kInternal,
                fmt::format("page {} of the database differs from the replica at txid {} ({} pages "
                            "in all)",
                            ToInt(*differences_.begin()), FormatTxid(base), differences_.size()));
  }
  RUNNEL_TRY_VOID(array_.Save());
  mending_ = false;
  destination_.NoteProven(base);
  return {};
}

// What was written while the scan ran is in a later cut, and may be seen by it or not.
Result<void> Prover::ForgetChangedSince(Txid base, Txid last) {
  for (Txid txid = Next(base); txid <= last && !differences_.empty(); txid = Next(txid)) {
    RUNNEL_TRY(auto file, source_.staging().OpenCut(txid));
    RUNNEL_TRY(const fs::FileInfo info, file->Info());
    fs::FileSource bytes(*file, 0, info.size_bytes);
    ltx::Decoder decoder(bytes);
    RUNNEL_TRY(const ltx::Header header, decoder.ReadHeader());
    Bytes page(header.page_size);
    while (true) {
      RUNNEL_TRY(const auto entry, decoder.ReadPage(page));
      if (!entry) break;
      differences_.erase(entry->page_no);
    }
    // Pages past the end of a database that shrank meanwhile.
    differences_.erase(differences_.upper_bound(PageNo{header.commit_pages}), differences_.end());
  }
  return {};
}

}  // namespace runnel::replicate
