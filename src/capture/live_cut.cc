// The cut job and the repair job: from what was captured to the staged log.

#include <algorithm>
#include <utility>

#include "capture/live_database.h"

namespace runnel::capture {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kCutRetryFirst{200};
constexpr milliseconds kCutRetryLast{30'000};

// Page checksums are made durable, and the cuts before them removed, at most this often.
constexpr seconds kPruneEvery{30};
constexpr std::uint64_t kPruneBytes = std::uint64_t{64} << 20;

// About 10 ms of reading; then other databases have their turn.
constexpr std::uint64_t kRepairStepBytes = std::uint64_t{8} << 20;
constexpr milliseconds kRepairRetry{1000};

}  // namespace

void LiveDatabase::SetError(std::optional<Error>& kept, const Error& error) {
  if (kept && *kept == error) return;
  environment_.log.Error("sync error", {{"path", options_.database.string()}, {"error", error}});
  kept = error;
}

// Without any lock held.
void LiveDatabase::TellStatus() {
  {
    const MutexLock lock(mutex_);
    const std::optional<Error>& error = error_ ? error_ : cut_error_;
    if (state_ == told_.state && error == told_.error) return;
    told_.state = state_;
    told_.error = error;
  }
  observer_.OnStatus();
}

std::optional<MonotonicTime> LiveDatabase::RunCut() {
  std::optional<Txid> made;
  std::optional<MonotonicTime> next;
  {
    const MutexLock cutter_lock(cutter_mutex_);
    next = CutOnce(made);
  }
  if (made) observer_.OnCut(*made);
  TellStatus();
  return next;
}

// `made` gets the cut, if there was one.
std::optional<MonotonicTime> LiveDatabase::CutOnce(std::optional<Txid>& made) {
  const auto run = [&]() -> Result<void> {
    cutter_mutex_.AssertHeld();
    RUNNEL_TRY_VOID(RenewLostState());
    RUNNEL_TRY_VOID(cutter_->Settle());
    RUNNEL_TRY_VOID(AdoptPending());
    bool cut = false;
    {
      const MutexLock lock(mutex_);
      cut = frozen_ && CutAllowed();
    }
    if (cut) {
      RUNNEL_TRY(made, CutFrozen());
      capture_job_.Wake();
      repair_job_.Wake();
    }
    return PruneStaging();
  };
  if (auto done = run(); !done) {
    {
      const MutexLock lock(mutex_);
      SetError(cut_error_, done.error());
    }
    cut_back_off_ = std::clamp(cut_back_off_ * 2, kCutRetryFirst, kCutRetryLast);
    return environment_.clock.MonotonicNow() + cut_back_off_;
  }
  cut_back_off_ = {};
  const MutexLock lock(mutex_);
  if (!pending_repair_) cut_error_.reset();
  const Txid newest = history_.newest;
  const bool prunable = release_through_ > cutter_->checkpointed() && newest != Txid{0};
  if (!prunable || !checkpointed_at_) return std::nullopt;
  return *checkpointed_at_ + kPruneEvery;
}

Result<Txid> LiveDatabase::CutFrozen() {
  const Frozen* frozen = nullptr;
  {
    const MutexLock lock(mutex_);
    frozen = &*frozen_;  // only this job, or Stop() after it, takes it away
  }
  auto made = cutter_->Cut({.segment = frozen->segment.get(),
                            .scan_spool = frozen->repair ? frozen->repair->spool() : nullptr,
                            .read_raw =
                                [this](PageNo page_no, MutableBytes page) {
                                  cutter_mutex_.AssertHeld();
                                  return ReadRaw(page_no, page);
                                },
                            .timestamp = frozen->timestamp});
  if (!made) {
    if (made.error().code() == Errc::kPreconditionFailed) AbandonFrozen();
    return Fail(std::move(made).error());
  }
  const StagedCut cut = *made;
  // Every page is in this cut: the array must not depend on it for long.
  if (frozen->repair) {
    if (auto checkpointed = cutter_->Checkpoint(); !checkpointed) {
      environment_.log.Warn("cannot write the page checksums", {{"error", checkpointed.error()}});
    }
  }
  raw_reader_.reset();
  Frozen done;
  {
    const MutexLock lock(mutex_);
    done = std::move(*frozen_);
    frozen_.reset();
    history_ = cutter_->history();
    cut_error_.reset();
  }
  RemoveSegment(*done.segment);
  return cut.txid;
}

// The page checksums are lost: what was frozen, and what was captured since, comes with a scan of
// the whole database.
void LiveDatabase::AbandonFrozen() {
  const MutexLock lock(mutex_);
  history_ = cutter_->history();
  CompareAllAnew();
}

// With mutex_ held. What was captured does not count; the next cut rests on a scan.
void LiveDatabase::CompareAllAnew() {
  DropFrozen();
  DropOpen();
  ++continuity_;
  open_txid_ = Next(history_.newest);
  pending_repair_ = PendingRepair{.kind = RepairKind::kDiff};
  if (capturer_.connected()) {
    open_ = NewSegment();
    state_ = DatabaseState::kScanning;
  }
  repair_job_.Wake();
}

Result<void> LiveDatabase::ReadRaw(PageNo page_no, MutableBytes page) {
  if (!raw_reader_) {
    auto opened = environment_.registry.Open(options_.database);
    if (!opened && opened.error().code() == Errc::kNotFound) {
      // The database is gone; such a page means nothing, but there has to be one.
      std::ranges::fill(page, std::byte{0});
      return {};
    }
    RUNNEL_TRY(raw_reader_, std::move(opened));
  }
  const std::uint64_t offset = std::uint64_t{ToInt(page_no) - 1} * page.size();
  RUNNEL_TRY(const std::size_t real, raw_reader_->ReadDatabaseFile(offset, page));
  (void)real;
  return {};
}

// A replica is ahead of us: its numbers go on, with a cut that holds every page.
Result<void> LiveDatabase::AdoptPending() {
  std::optional<Txid> adopt;
  {
    const MutexLock lock(mutex_);
    adopt = adopt_;
  }
  if (!adopt) return {};
  if (*adopt > cutter_->history().newest) {
    const bool had_history = cutter_->history().newest != Txid{0};
    RUNNEL_TRY_VOID(staging_->Clear());
    cutter_->Adopt(*adopt);
    const MutexLock lock(mutex_);
    environment_.log.Info("continuing the numbers of the replica",
                          {{"path", options_.database.string()}, {"txid", *adopt}});
    history_ = cutter_->history();
    open_txid_ = Next(*adopt);
    // Without local history nothing was compared with anything yet, so what a scan has found holds
    // under the new number too. Otherwise it starts over.
    if (had_history) {
      repair_.reset();
      CompareAllAnew();
    } else if (frozen_) {
      open_txid_ = Next(open_txid_);
    }
  }
  const MutexLock lock(mutex_);
  adopt_.reset();
  capture_job_.Wake();
  repair_job_.Wake();
  return {};
}

Result<void> LiveDatabase::PruneStaging() {
  Txid last{};
  bool pending_cut = false;
  {
    const MutexLock lock(mutex_);
    last = release_through_;
    pending_cut = frozen_.has_value();
  }
  const MonotonicTime now = environment_.clock.MonotonicNow();
  const bool due = !checkpointed_at_ || now >= *checkpointed_at_ + kPruneEvery ||
                   staging_->total_bytes() > std::min(kPruneBytes, options_.max_staging_bytes / 2);
  if (last > cutter_->checkpointed() && due && !pending_cut && !repair_) {
    RUNNEL_TRY_VOID(cutter_->Checkpoint());
    checkpointed_at_ = now;
  }
  return staging_->Prune(std::min(last, cutter_->checkpointed()));
}

std::optional<MonotonicTime> LiveDatabase::RunRepair() {
  std::optional<MonotonicTime> next;
  {
    const MutexLock cutter_lock(cutter_mutex_);
    auto stepped = RepairStep();
    if (stepped) {
      next = *stepped;
    } else {
      repair_.reset();
      const MutexLock lock(mutex_);
      SetError(cut_error_, stepped.error());
      next = environment_.clock.MonotonicNow() + kRepairRetry;
      if (stepped.error().code() == Errc::kNotFound) cut_job_.Wake();  // is the state folder there?
    }
  }
  TellStatus();
  return next;
}

// Something is to be compared, and may be: see DropUnneeded().
bool LiveDatabase::RepairIsWanted() const {
  return pending_repair_ && state_ == DatabaseState::kScanning && history_confirmed_ && !adopt_;
}

Result<std::optional<MonotonicTime>> LiveDatabase::RepairStep() {
  {
    const MutexLock lock(mutex_);
    if (!RepairIsWanted()) {
      repair_.reset();
      return std::nullopt;
    }
    // The scan compares with the newest cut: what was captured before it has to be in it.
    if (frozen_) return std::nullopt;
    if (repair_ && repair_->scan().start().continuity != continuity_) repair_.reset();
  }
  if (!repair_) RUNNEL_TRY_VOID(BeginRepair());
  if (!repair_) return std::nullopt;
  RUNNEL_TRY(const bool more, repair_->Step(kRepairStepBytes));
  if (more) return environment_.clock.MonotonicNow();
  RUNNEL_TRY_VOID(FinishRepair());
  const MutexLock lock(mutex_);
  if (pending_repair_) return environment_.clock.MonotonicNow();
  return std::nullopt;
}

// Makes repair_, unless capture was lost, or found something else to do, while the cutter settled.
// What ends that wakes this job.
Result<void> LiveDatabase::BeginRepair() {
  RUNNEL_TRY_VOID(cutter_->Settle());
  PendingRepair pending{};
  std::unique_ptr<DatabaseScan> scan;
  {
    const MutexLock lock(mutex_);
    if (!RepairIsWanted() || frozen_) return {};
    pending = *pending_repair_;
    RUNNEL_TRY(scan, BeginScanLocked());
  }
  const bool nothing_to_compare_with = cutter_->history().kind != HistoryKind::kOurs ||
                                       cutter_->history().page_size != scan->start().page_size;
  const bool every_page = nothing_to_compare_with || pending.extent == CompareExtent::kEveryPage;
  if (pending.kind == RepairKind::kDiff && every_page) {
    RUNNEL_TRY_VOID(cutter_->StartOver(scan->start().page_size));
  }
  RUNNEL_TRY(repair_, Repair::Begin(pending.kind, *cutter_, std::move(scan), environment_.fs,
                                    paths_, ownership_));
  return {};
}

Result<void> LiveDatabase::FinishRepair() {
  std::unique_ptr<Repair> repair = std::move(repair_);
  RUNNEL_TRY(const std::uint64_t differing, repair->Finish());
  const MutexLock lock(mutex_);
  if (repair->scan().start().continuity != continuity_) return {};  // begins anew
  if (auto files = capturer_.CheckFiles(); !files) {
    NotifyMoved();  // somebody may have written past us while the scan ran
    return files;
  }
  // Behind the last page that the scan read.
  RUNNEL_TRY_VOID(capturer_.CatchUp(*open_));
  const bool nothing_captured = !open_->has_pages();
  if (repair->kind() == RepairKind::kRebuild) {
    RUNNEL_TRY(const RebuildFit fit, cutter_->FinishRebuild());
    if (fit == RebuildFit::kDiffers && nothing_captured) {
      environment_.log.Warn("the database is not what its newest cut says: sending all of it",
                            {{"path", options_.database.string()}});
      RUNNEL_TRY_VOID(cutter_->StartOver(repair->scan().start().page_size));
      pending_repair_ = PendingRepair{.kind = RepairKind::kDiff};
      return {};
    }
  }
  const bool nothing_to_cut =
      repair->kind() == RepairKind::kRebuild || (differing == 0 && nothing_captured);
  if (nothing_to_cut && nothing_captured && cutter_->history().newest != Txid{0} &&
      staging_->newest()) {
    RUNNEL_TRY_VOID(cutter_->RecordPosition(capturer_.captured().position));
    DropOpen();
    open_ = NewSegment();
  }
  history_ = cutter_->history();
  if (!nothing_to_cut) Freeze(std::move(repair));
  pending_repair_.reset();
  cut_error_.reset();
  state_ = DatabaseState::kCapturing;
  environment_.log.Info("compared the database with its replica",
                        {{"path", options_.database.string()}, {"pages_differing", differing}});
  capture_job_.Wake();
  cut_job_.Wake();
  return {};
}

}  // namespace runnel::capture
