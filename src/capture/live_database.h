// The inside of Database: three jobs on one database, and what they share.
//
//   capture job   follows the WAL into the open segment, freezes it when a cut is due
//   cut job       turns the frozen segment into a cut; prunes the staging
//   repair job    scans the database where continuity was lost
//
//        Connect kept                     cut due
//   kWaiting ------> kCapturing --freeze--> (cut job) --> OnCut
//      |  ^             ^   |
//      |  | error       |   | continuity lost
//      |  +-------------|---+
//      +--> kScanning --+  scan done: what differs and the open segment are frozen together
//
// Two locks: `cutter_mutex_` for the cutter and the repair, `mutex_` for all else. The first is
// taken before the second, never the other way round; `mutex_` is held for as long as a look at the
// WAL takes, the first for as long as a cut takes. Notifications take neither.

#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string_view>

#include "base/mutex.h"
#include "base/result.h"
#include "capture/capturer.h"
#include "capture/cutter.h"
#include "capture/database.h"
#include "capture/pacing.h"
#include "capture/repair.h"
#include "capture/segment.h"
#include "runtime/scheduler.h"

namespace runnel::capture {

class LiveDatabase {
 public:
  LiveDatabase(const DatabaseOptions& options, const Environment& environment,
               DatabaseObserver& observer);
  ~LiveDatabase();

  Result<void> Start();
  Result<void> Stop();
  void NotifyWritten();
  void NotifyMoved();
  Result<void> AdoptHistory(Txid replica_newest);
  Result<Txid> RequestCut();
  void CompareAgain(CompareExtent extent);
  void ReleaseCuts(Txid last);
  Result<std::unique_ptr<DatabaseScan>> BeginScan();
  bool IsCurrent(const DatabaseScan& scan) const;
  Staging& staging() { return *staging_; }
  DatabaseStatus status() const;

 private:
  // A segment on its way to a cut, with what a scan found, if there was one.
  struct Frozen {
    std::unique_ptr<Segment> segment;
    std::unique_ptr<Repair> repair;
    WallTime timestamp;
  };

  struct PendingRepair {
    RepairKind kind;
    CompareExtent extent = CompareExtent::kDifferingPages;  // of kDiff
  };

  struct CompareSchedule {
    MonotonicTime at;
    std::chrono::milliseconds interval;
  };

  class MethodJob final : public runtime::Job {
   public:
    using Method = std::optional<MonotonicTime> (LiveDatabase::*)();
    MethodJob(LiveDatabase& owner, Method method) : owner_(owner), method_(method) {}
    std::optional<MonotonicTime> Run() override { return (owner_.*method_)(); }

   private:
    LiveDatabase& owner_;
    const Method method_;
  };

  // live_database.cc: life
  Result<void> OpenState();
  Result<std::unique_ptr<fs::FileLock>> LockState();
  Result<fs::FileIdentity> LockFile();
  Result<void> RenewLostState() RUNNEL_REQUIRES(cutter_mutex_);
  Result<void> FinalCut(std::optional<Txid>& made);

  // live_capture.cc: the capture job. With mutex_ held, but for RunCapture().
  std::optional<MonotonicTime> RunCapture();
  std::optional<MonotonicTime> CaptureOnce(MonotonicTime now) RUNNEL_REQUIRES(mutex_);
  Result<void> Connect() RUNNEL_REQUIRES(mutex_);
  Result<std::optional<WalPosition>> ResumePosition() RUNNEL_REQUIRES(mutex_);
  Result<void> AfterConnect(Continuity continuity) RUNNEL_REQUIRES(mutex_);
  void TellWhyCompared(Continuity continuity) RUNNEL_REQUIRES(mutex_);
  Result<std::optional<MonotonicTime>> Service(MonotonicTime now) RUNNEL_REQUIRES(mutex_);
  void DropUnneeded() RUNNEL_REQUIRES(mutex_);
  std::optional<MonotonicTime> FreezeIfDue(MonotonicTime now) RUNNEL_REQUIRES(mutex_);
  void Freeze(std::unique_ptr<Repair> repair) RUNNEL_REQUIRES(mutex_);
  std::unique_ptr<Segment> NewSegment() RUNNEL_REQUIRES(mutex_);
  void RequireDiff(CompareExtent extent) RUNNEL_REQUIRES(mutex_);
  void DropOpen() RUNNEL_REQUIRES(mutex_);
  void DropFrozen() RUNNEL_REQUIRES(mutex_);
  void RemoveSegment(Segment& segment);
  void GiveUp(Error error, MonotonicTime now) RUNNEL_REQUIRES(mutex_);
  Result<void> FlushFrozen() RUNNEL_REQUIRES(mutex_);
  bool CanBeCut() const RUNNEL_REQUIRES(mutex_);
  bool CutAllowed() const RUNNEL_REQUIRES(mutex_);
  Result<std::unique_ptr<DatabaseScan>> BeginScanLocked() RUNNEL_REQUIRES(mutex_);

  // live_files.cc: with mutex_ held.
  void LookForAnotherFile(MonotonicTime now) RUNNEL_REQUIRES(mutex_);
  Result<void> CheckFile() RUNNEL_REQUIRES(mutex_);
  void NoteAttached(MonotonicTime now) RUNNEL_REQUIRES(mutex_);
  std::optional<MonotonicTime> CompareIfDue(MonotonicTime now) RUNNEL_REQUIRES(mutex_);
  void BeginComparison(CompareExtent extent, std::string_view reason) RUNNEL_REQUIRES(mutex_);

  // live_cut.cc: the cut job and the repair job.
  std::optional<MonotonicTime> RunCut();
  std::optional<MonotonicTime> CutOnce(std::optional<Txid>& made) RUNNEL_REQUIRES(cutter_mutex_);
  Result<Txid> CutFrozen() RUNNEL_REQUIRES(cutter_mutex_);
  Result<void> AdoptPending() RUNNEL_REQUIRES(cutter_mutex_);
  Result<void> PruneStaging() RUNNEL_REQUIRES(cutter_mutex_);
  std::optional<MonotonicTime> RunRepair();
  Result<std::optional<MonotonicTime>> RepairStep() RUNNEL_REQUIRES(cutter_mutex_);
  bool RepairIsWanted() const RUNNEL_REQUIRES(mutex_);
  Result<void> BeginRepair() RUNNEL_REQUIRES(cutter_mutex_);
  Result<void> FinishRepair() RUNNEL_REQUIRES(cutter_mutex_);
  Result<void> ReadRaw(PageNo page_no, MutableBytes page) RUNNEL_REQUIRES(cutter_mutex_);
  void AbandonFrozen() RUNNEL_REQUIRES(cutter_mutex_);
  void CompareAllAnew() RUNNEL_REQUIRES(mutex_);
  void SetError(std::optional<Error>& kept, const Error& error);
  void TellStatus();

  const DatabaseOptions& options_;  // the Database's
  const Environment environment_;
  DatabaseObserver& observer_;
  const StatePaths paths_;
  fs::Ownership ownership_;

  std::unique_ptr<fs::FileLock> lock_;
  fs::FileIdentity lock_file_;  // guarded by cutter_mutex_ once started
  std::unique_ptr<Staging> staging_;

  Mutex cutter_mutex_;
  std::unique_ptr<Cutter> cutter_ RUNNEL_GUARDED_BY(cutter_mutex_);
  std::unique_ptr<Repair> repair_ RUNNEL_GUARDED_BY(cutter_mutex_);
  std::unique_ptr<sqlite::Connection> raw_reader_ RUNNEL_GUARDED_BY(cutter_mutex_);
  std::chrono::milliseconds cut_back_off_ RUNNEL_GUARDED_BY(cutter_mutex_){};
  std::optional<MonotonicTime> checkpointed_at_ RUNNEL_GUARDED_BY(cutter_mutex_);

  // A notification must not wait for a look that is going on: it comes on the thread of all
  // databases.
  std::atomic<bool> moved_ = false;
  Mutex pacing_mutex_;
  Pacing pacing_ RUNNEL_GUARDED_BY(pacing_mutex_);

  mutable Mutex mutex_ RUNNEL_ACQUIRED_AFTER(cutter_mutex_);
  Capturer capturer_ RUNNEL_GUARDED_BY(mutex_);
  DatabaseState state_ RUNNEL_GUARDED_BY(mutex_) = DatabaseState::kStopped;
  std::optional<Error> error_ RUNNEL_GUARDED_BY(mutex_);  // of capture
  // Of the cut or the repair, while capture goes on.
  std::optional<Error> cut_error_ RUNNEL_GUARDED_BY(mutex_);
  History history_ RUNNEL_GUARDED_BY(mutex_);  // a copy of the cutter's, as of the newest cut
  bool history_confirmed_ RUNNEL_GUARDED_BY(mutex_) = false;
  std::optional<Txid> adopt_ RUNNEL_GUARDED_BY(mutex_);
  Txid release_through_ RUNNEL_GUARDED_BY(mutex_){};
  std::unique_ptr<Segment> open_ RUNNEL_GUARDED_BY(mutex_);
  Txid open_txid_ RUNNEL_GUARDED_BY(mutex_){};  // what `open_` is to become
  std::optional<Frozen> frozen_ RUNNEL_GUARDED_BY(mutex_);
  std::optional<PendingRepair> pending_repair_ RUNNEL_GUARDED_BY(mutex_);
  std::uint64_t continuity_ RUNNEL_GUARDED_BY(mutex_) = 0;
  std::uint64_t scans_begun_ RUNNEL_GUARDED_BY(mutex_) = 0;
  // The WAL does not hold what it should: compare instead.
  bool resume_is_bad_ RUNNEL_GUARDED_BY(mutex_) = false;
  bool files_were_lost_ RUNNEL_GUARDED_BY(mutex_) = false;  // since we were connected last
  std::optional<CompareSchedule> compare_again_ RUNNEL_GUARDED_BY(mutex_);
  bool cut_requested_ RUNNEL_GUARDED_BY(mutex_) = false;
  std::optional<MonotonicTime> looked_for_another_file_at_ RUNNEL_GUARDED_BY(mutex_);
  // What the observer was told of last: state and error.
  DatabaseStatus told_ RUNNEL_GUARDED_BY(mutex_);
  std::optional<MonotonicTime> last_cut_at_ RUNNEL_GUARDED_BY(mutex_);
  MonotonicTime connect_not_before_ RUNNEL_GUARDED_BY(mutex_){};
  std::chrono::milliseconds connect_back_off_ RUNNEL_GUARDED_BY(mutex_){};
  LiveWal live_ RUNNEL_GUARDED_BY(mutex_);  // as of the last look, for status()

  MethodJob capture_method_;
  MethodJob cut_method_;
  MethodJob repair_method_;
  // Last: stopped first.
  runtime::JobHandle capture_job_;
  runtime::JobHandle cut_job_;
  runtime::JobHandle repair_job_;
};

}  // namespace runnel::capture
