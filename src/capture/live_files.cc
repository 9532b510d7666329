// The files that are followed: what they are, whether they still are, and what may have been
// written past us while they were not.

#include <chrono>
#include <utility>

#include "capture/live_database.h"

namespace runnel::capture {
namespace {

// After a deletion that others may have lived through: when to compare again for the first time,
// and from which interval on it is left to the background proof.
constexpr std::chrono::seconds kCompareAgainFirst{2};
constexpr std::chrono::minutes kCompareAgainLast{30};

}  // namespace

void LiveDatabase::LookForAnotherFile(MonotonicTime now) {
  looked_for_another_file_at_ = now;
  if (!capturer_.connected()) return;
  auto moved = capturer_.HasMoved();
  if (moved && !*moved) {
    if (auto files = capturer_.CheckFiles(); !files) GiveUp(std::move(files).error(), now);
    return;
  }
  environment_.log.Info("database file was replaced or removed",
                        {{"path", options_.database.string()}});
  capturer_.Disconnect();
  ++continuity_;
  if (open_ && !open_->committed()) DropOpen();
  state_ = DatabaseState::kWaiting;
}

Result<void> LiveDatabase::CheckFile() {
  auto inspected = environment_.registry.Inspect(options_.database);
  if (!inspected && inspected.error().code() == Errc::kAlreadyExists) {
    // A scan of ours still has it open: then it is the database that was captured before. Whether
    // it is in WAL mode, the mark finds out.
    RUNNEL_TRY(const fs::FileInfo info, environment_.fs.Stat(options_.database));
    if (environment_.registry.HeldAs(info.identity) == options_.database.path()) return {};
  }
  RUNNEL_TRY(const sqlite::FileInspection file, std::move(inspected));
  switch (file.kind) {
    case sqlite::FileKind::kEmpty:
      return Fail(Errc::kNotFound, "the database is empty: waiting for its first table");
    case sqlite::FileKind::kOpaque: return Fail(Errc::kUnsupported, sqlite::kEncryptedFileCure);
    case sqlite::FileKind::kSqlite: break;
  }
  if (file.journal_mode == sqlite::JournalMode::kWal) return {};
  if (options_.journal_mode == JournalModePolicy::kRequire) {
    return Fail(Errc::kPreconditionFailed,
                "the database is not in WAL mode, and journal-mode is 'require': run "
                "PRAGMA journal_mode=WAL in it");
  }
  RUNNEL_TRY(auto connection, environment_.registry.Open(options_.database));
  RUNNEL_TRY_VOID(connection->SwitchToWal());
  environment_.log.Info("switched the database to WAL mode",
                        {{"path", options_.database.string()}});
  return {};
}

// Applications that still have a deleted WAL or wal-index open copy into the database file what we
// do not see. Where we were alone, there are none.
void LiveDatabase::NoteAttached(MonotonicTime now) {
  if (!std::exchange(files_were_lost_, false)) return;
  compare_again_.reset();
  if (capturer_.was_alone()) return;
  compare_again_ = CompareSchedule{.at = now + kCompareAgainFirst, .interval = kCompareAgainFirst};
}

// When to look again for the next comparison; nothing if there is to be none.
std::optional<MonotonicTime> LiveDatabase::CompareIfDue(MonotonicTime now) {
  if (!compare_again_) return std::nullopt;
  if (now < compare_again_->at) return compare_again_->at;
  if (state_ != DatabaseState::kCapturing) return now + kCompareAgainFirst;
  BeginComparison(CompareExtent::kDifferingPages, "its WAL was deleted under applications");
  compare_again_->interval *= 2;
  compare_again_->at = now + compare_again_->interval;
  if (compare_again_->interval > kCompareAgainLast) compare_again_.reset();
  return compare_again_ ? std::optional(compare_again_->at) : std::nullopt;
}

// The open segment goes on: like one that a lost continuity began, it is cut together with what the
// scan finds. A cut that is on its way is waited for.
void LiveDatabase::BeginComparison(CompareExtent extent, std::string_view reason) {
  RequireDiff(extent);
  ++continuity_;
  if (state_ == DatabaseState::kCapturing) state_ = DatabaseState::kScanning;
  environment_.log.Info(
      "comparing the database with its replica",
      {{"path", options_.database.string()}, {"txid", history_.newest}, {"reason", reason}});
  repair_job_.Wake();
}

}  // namespace runnel::capture
