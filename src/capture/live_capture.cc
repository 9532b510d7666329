// The capture job: follows the WAL into the open segment.

#include <algorithm>
#include <utility>

#include "capture/live_database.h"
#include "capture/recovery.h"

namespace runnel::capture {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A database at rest gives back connections and caches after this time.
constexpr seconds kRestAfter{2};

// Notifications get lost (an overflowing queue, a file system without them). This look finds what
// they missed; it reads memory only. All databases have theirs at the same few moments, so that a
// thread wakes for many of them and not for each.
constexpr seconds kSweepEvery{15};
constexpr milliseconds kSweepTick{500};

// That files were replaced or removed is looked for less often: it costs system calls.
constexpr seconds kLookForFilesEvery{60};

constexpr milliseconds kConnectRetryFirst{100};
constexpr milliseconds kConnectRetryLast{5000};

// How long another process's lock may keep a look from succeeding before that counts as trouble.
constexpr milliseconds kBusyRetry{10};

// While state cannot be written (a full disk), frames stay in the WAL. Past this many times the
// threshold our mark is what makes it grow, and is given up.
constexpr std::uint32_t kPinnedFactorMax = 16;

std::optional<MonotonicTime> Earlier(std::optional<MonotonicTime> a,
                                     std::optional<MonotonicTime> b) {
  if (!a) return b;
  if (!b) return a;
  return std::min(*a, *b);
}

MonotonicTime NextSweep(MonotonicTime now) {
  const auto latest = (now + kSweepEvery).time_since_epoch();
  return MonotonicTime(latest - latest % kSweepTick);
}

}  // namespace

std::optional<MonotonicTime> LiveDatabase::RunCapture() {
  std::optional<MonotonicTime> next;
  {
    const MutexLock lock(mutex_);
    next = CaptureOnce(environment_.clock.MonotonicNow());
  }
  TellStatus();
  return next;
}

std::optional<MonotonicTime> LiveDatabase::CaptureOnce(MonotonicTime now) {
  const bool told = moved_.exchange(false);
  if (told) {
    connect_not_before_ = {};
    connect_back_off_ = {};
  }
  // What tells of moved files may fail as well; the one thing that is worse than to look in vain is
  // to follow a file that nobody writes any more.
  const bool due =
      !looked_for_another_file_at_ || now - *looked_for_another_file_at_ >= kLookForFilesEvery;
  if (told || due) LookForAnotherFile(now);
  if (!capturer_.connected()) {
    if (now < connect_not_before_) return connect_not_before_;
    if (auto connected = Connect(); !connected) {
      if (connected.error().code() == Errc::kBusy) {
        connected = Fail(std::move(connected).error().Context(
            "another program has the database to itself (PRAGMA locking_mode=EXCLUSIVE?)"));
      }
      GiveUp(std::move(connected).error(), now);
      return connect_not_before_;
    }
    NoteAttached(now);
  }
  auto next = Service(now);
  if (!next) {
    Error error = std::move(next).error();
    if (error.code() == Errc::kBusy) return now + kBusyRetry;
    GiveUp(std::move(error), now);
    return connect_not_before_;
  }
  DropUnneeded();
  std::optional<MonotonicTime> wake = Earlier(*next, FreezeIfDue(now));
  wake = Earlier(wake, CompareIfDue(now));
  MonotonicTime last_activity;
  {
    const MutexLock pacing_lock(pacing_mutex_);
    wake = Earlier(wake, pacing_.NextLook());
    last_activity = pacing_.last_activity();
  }
  // Whatever else it waits for: a scan, a cut, a replica.
  if (!capturer_.rests()) {
    const MonotonicTime rest_at = last_activity + kRestAfter;
    if (now >= rest_at) {
      capturer_.Rest();
    } else {
      wake = Earlier(wake, rest_at);
    }
  }
  return Earlier(wake, NextSweep(now));
}

Result<void> LiveDatabase::Connect() {
  RUNNEL_TRY_VOID(CheckFile());
  RUNNEL_TRY(const std::optional<WalPosition> resume, ResumePosition());
  RUNNEL_TRY(const Continuity continuity, capturer_.Connect(resume));
  auto ready = AfterConnect(continuity);
  if (!ready) {
    capturer_.Disconnect();
    return ready;
  }
  resume_is_bad_ = false;
  connect_back_off_ = {};
  error_.reset();
  environment_.log.Info("initialized db",
                        {{"path", options_.database.string()}, {"txid", history_.newest}});
  return {};
}

Result<std::optional<WalPosition>> LiveDatabase::ResumePosition() {
  if (resume_is_bad_) return std::nullopt;
  if (open_) return open_->end().position;
  if (frozen_) return frozen_->segment->end().position;
  if (history_.kind != HistoryKind::kForeign) return history_.position;
  fs::Path wal_path = options_.database;
  wal_path += "-wal";
  auto wal = environment_.fs.Open(wal_path, fs::OpenMode::kRead);
  if (!wal) return std::nullopt;
  return FindForeignPosition(**wal, history_, *staging_);
}

Result<void> LiveDatabase::AfterConnect(Continuity continuity) {
  const std::uint32_t page_size = capturer_.captured().page_size;
  if (history_.page_size != 0 && history_.page_size != page_size) {
    return Fail(Errc::kUnsupported,
                "the page size changed from " + std::to_string(history_.page_size) + " to " +
                    std::to_string(page_size) +
                    ": a replica has one page size; give the database a new replica path and "
                    "remove " +
                    options_.state_folder.string());
  }
  if (continuity != Continuity::kKept) {
    // What was captured before is history all the same, unless it waited for a scan to complete it.
    const bool can_be_cut = open_ && open_->has_pages() && open_->committed() && !frozen_ &&
                            !pending_repair_ && history_.kind == HistoryKind::kOurs;
    if (can_be_cut) {
      Freeze(nullptr);
    } else {
      DropOpen();
    }
    TellWhyCompared(continuity);
    open_ = NewSegment();
    RequireDiff(CompareExtent::kDifferingPages);
  } else {
    if (!open_) open_ = NewSegment();
    // A scan that was to find what was missed earlier still has to.
    const bool checksums_known = history_.kind == HistoryKind::kOurs;
    if (!checksums_known && !pending_repair_)
      pending_repair_ = PendingRepair{.kind = RepairKind::kRebuild};
  }
  state_ = pending_repair_ ? DatabaseState::kScanning : DatabaseState::kCapturing;
  ++continuity_;
  if (pending_repair_) repair_job_.Wake();
  if (frozen_) cut_job_.Wake();
  return {};
}

void LiveDatabase::TellWhyCompared(Continuity continuity) {
  const auto path = options_.database.string();
  if (continuity == Continuity::kCommitsLost) {
    // A segment that was frozen is a cut soon.
    environment_.log.Warn(
        "the machine lost commits that were captured: this txid holds them, the next one is what "
        "the database still has",
        {{"path", path}, {"txid", Txid{ToInt(open_txid_) - 1}}});
  }
  environment_.log.Info(
      "comparing the database with its replica",
      {{"path", path},
       {"txid", history_.newest},
       {"reason", continuity == Continuity::kNoPosition    ? "no known position"
                  : continuity == Continuity::kWalReplaced ? "the WAL was replaced"
                                                           : "the WAL lacks what was captured"}});
}

Result<std::optional<MonotonicTime>> LiveDatabase::Service(MonotonicTime now) {
  const WalPosition before = capturer_.captured().position;
  auto serviced = capturer_.Service(*open_);
  if (!serviced && serviced.error().code() == Errc::kNotFound) {
    // The database is open: it is a file of ours that has no folder, and the cut job makes it anew.
    serviced = Fail(Errc::kIo, serviced.error().message());
    cut_job_.Wake();
  }
  if (!serviced) {
    const Errc code = serviced.error().code();
    if (code != Errc::kNoSpace && code != Errc::kIo) return serviced;
    RUNNEL_TRY_VOID(capturer_.CheckFiles());
    // The frames are safe in the WAL for as long as the mark is held.
    RUNNEL_TRY(const LiveWal live, capturer_.Live());
    const bool pins_too_much =
        ToInt(live.state.position.frame) > options_.checkpoint.threshold_frames * kPinnedFactorMax;
    if (pins_too_much) return serviced;
    SetError(error_, serviced.error());
    const MutexLock pacing_lock(pacing_mutex_);
    pacing_.OnLook(0, 0, now);
    return now + kConnectRetryFirst;
  }
  if (state_ == DatabaseState::kCapturing) error_.reset();
  const WalPosition after = capturer_.captured().position;
  const std::uint64_t new_frames =
      after.salts == before.salts ? ToInt(after.frame) - ToInt(before.frame) : ToInt(after.frame);
  RUNNEL_TRY(live_, capturer_.Live());
  const bool next_writer_restarts = live_.backfilled >= live_.state.position.frame;
  const MutexLock pacing_lock(pacing_mutex_);
  pacing_.OnLook(new_frames, next_writer_restarts ? 0 : ToInt(live_.state.position.frame), now);
  return serviced;
}

// A capture that failed half-way has to be repeated first.
bool LiveDatabase::CanBeCut() const { return open_ && open_->has_pages() && open_->committed(); }

bool LiveDatabase::CutAllowed() const { return history_confirmed_ && !adopt_; }

// Until it is known what the first cut continues there is none, however long that takes, and the
// scan that it rests on has not begun: it finds all that was captured so far in the database.
void LiveDatabase::DropUnneeded() {
  if (history_confirmed_ || state_ != DatabaseState::kScanning || !CanBeCut()) return;
  DropOpen();
  open_ = NewSegment();
}

// When to look again for the next cut; nothing if none is due.
std::optional<MonotonicTime> LiveDatabase::FreezeIfDue(MonotonicTime now) {
  if (state_ != DatabaseState::kCapturing || frozen_ || !CutAllowed()) return std::nullopt;
  if (!open_->has_pages()) {
    // The position moved without a page: an application emptied the WAL.
    if (open_->end().position != open_->start().position) {
      DropOpen();
      open_ = NewSegment();
    }
    return std::nullopt;
  }
  if (!CanBeCut()) return std::nullopt;
  if (!cut_requested_ && last_cut_at_ && now < *last_cut_at_ + options_.sync_interval) {
    return *last_cut_at_ + options_.sync_interval;
  }
  Freeze(nullptr);
  cut_job_.Wake();
  return std::nullopt;
}

void LiveDatabase::Freeze(std::unique_ptr<Repair> repair) {
  RUNNEL_CHECK(!frozen_ && open_->committed());
  frozen_ = Frozen{.segment = std::move(open_),
                   .repair = std::move(repair),
                   .timestamp = environment_.clock.Now()};
  open_txid_ = Next(open_txid_);
  open_ = capturer_.connected() ? NewSegment() : nullptr;
  last_cut_at_ = environment_.clock.MonotonicNow();
  cut_requested_ = false;
}

std::unique_ptr<Segment> LiveDatabase::NewSegment() {
  const WalState& captured = capturer_.captured();
  return std::make_unique<Segment>(environment_.fs, paths_.segment(open_txid_), ownership_,
                                   SegmentStart{.page_size = captured.page_size,
                                                .txid = open_txid_,
                                                .position = captured.position,
                                                .commit_pages = captured.commit_pages},
                                   options_.segment);
}

// What an earlier call asked for stays asked for.
void LiveDatabase::RequireDiff(CompareExtent extent) {
  const bool every_page = extent == CompareExtent::kEveryPage ||
                          (pending_repair_ && pending_repair_->extent == CompareExtent::kEveryPage);
  pending_repair_ = PendingRepair{
      .kind = RepairKind::kDiff,
      .extent = every_page ? CompareExtent::kEveryPage : CompareExtent::kDifferingPages};
}

void LiveDatabase::DropOpen() {
  if (open_) RemoveSegment(*open_);
  open_.reset();
}

void LiveDatabase::DropFrozen() {
  if (frozen_) RemoveSegment(*frozen_->segment);
  frozen_.reset();
}

void LiveDatabase::RemoveSegment(Segment& segment) {
  if (auto removed = segment.Remove(); !removed) {
    environment_.log.Warn("cannot remove a segment that is not needed any more",
                          {{"error", removed.error()}});
  }
}

// Before the WAL may start over. What waits for a scan beside it is of no use without the scan,
// which a crash ends.
Result<void> LiveDatabase::FlushFrozen() {
  if (!frozen_ || frozen_->repair) return {};
  return frozen_->segment->Flush();
}

// Lets the application have its WAL to itself, and tries again later.
void LiveDatabase::GiveUp(Error error, MonotonicTime now) {
  const bool was_connected = capturer_.connected();
  if (was_connected) {
    if (auto files = capturer_.CheckFiles(); !files) {
      // What went wrong is but a symptom. What the next WAL continues is not what was captured.
      error = std::move(files).error();
      resume_is_bad_ = true;
      files_were_lost_ = true;
    }
    if (error.code() == Errc::kCorruption) resume_is_bad_ = true;
    capturer_.Disconnect();
    ++continuity_;
    // A capture that failed half-way is repeated from the committed end, or made good by a scan.
    if (open_ && !open_->committed()) DropOpen();
  }
  // A WAL or wal-index that is not what applications have open, if we come too late to see it go.
  if (!was_connected && error.code() == Errc::kUnavailable) files_were_lost_ = true;
  const bool is_news = !error_ || *error_ != error;
  // Looked for by name: only a connection that was never made has not found the database.
  const bool not_there = !was_connected && error.code() == Errc::kNotFound;
  state_ = DatabaseState::kWaiting;
  if (is_news && not_there) {
    environment_.log.Info("waiting for the database", {{"path", options_.database.string()}});
  } else if (is_news) {
    environment_.log.Error("capture stopped, will try again",
                           {{"path", options_.database.string()}, {"error", error}});
  }
  error_ = std::move(error);
  connect_back_off_ = std::clamp(connect_back_off_ * 2, kConnectRetryFirst, kConnectRetryLast);
  connect_not_before_ = now + connect_back_off_;
}

Result<std::unique_ptr<DatabaseScan>> LiveDatabase::BeginScanLocked() {
  RUNNEL_TRY_VOID(capturer_.CatchUp(*open_));
  const WalState& captured = capturer_.captured();
  // Several scans may be under way at a time.
  const std::string name = "overlay-" + std::to_string(++scans_begun_);
  auto overlay = std::make_unique<Segment>(environment_.fs, paths_.spool(name), ownership_,
                                           SegmentStart{.page_size = captured.page_size,
                                                        .txid = {},
                                                        .position = captured.position,
                                                        .commit_pages = captured.commit_pages},
                                           options_.segment);
  if (auto copied = capturer_.CopyUnbackfilled(*overlay); !copied) {
    // Frames that are committed and do not prove themselves. An SQLite before 3.53 can write them
    // (a savepoint rolled back after the cache spilled), and reads them without a look at
    // checksums. So does a checkpoint, after which nothing of them is needed.
    if (copied.error().code() == Errc::kCorruption) {
      RUNNEL_TRY_VOID(capturer_.CheckpointPassive(*open_));
    }
    return Fail(std::move(copied).error());
  }
  RUNNEL_TRY(auto connection, environment_.registry.Open(options_.database));
  return std::make_unique<DatabaseScan>(ScanStart{.page_size = captured.page_size,
                                                  .commit_pages = captured.commit_pages,
                                                  .base = history_.newest,
                                                  .continuity = continuity_},
                                        std::move(connection), std::move(overlay),
                                        staging_->PinFrom(Next(history_.newest)));
}

}  // namespace runnel::capture
