// Turns segments into cuts, and keeps the checksum of every page as of the newest cut.
//
//   (1) A cut is durable in the staging before anything else changes; the page checksums follow it,
//       and a crash in between is made good by Open() (capture/page_checksums.h).
//   (2) Chain: a cut begins where the newest one ended. Where the page checksums are not known, the
//       next cut holds every page and begins a new chain (before == 0).
//
// One thread at a time: the cut job of the database.

#pragma once

#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "capture/merged_pages.h"
#include "capture/page_checksums.h"
#include "capture/position_record.h"
#include "capture/segment.h"
#include "capture/staging.h"
#include "capture/state_paths.h"
#include "fs/file_system.h"
#include "ltx/format.h"

namespace runnel::capture {

struct CutterOptions {
  StatePaths paths;
  fs::Ownership ownership;
  ltx::PageEncoding encoding = ltx::PageEncoding::kBlock;
};

// How the newest cut relates to what we know.
enum class HistoryKind : std::uint8_t {
  kNone,     // there is no cut
  kOurs,     // page checksums and their sum fit it
  kPartial,  // a cut of ours, but the page checksums are lost or do not fit
  kForeign,  // somebody else wrote it
};

struct History {
  HistoryKind kind = HistoryKind::kNone;
  Txid newest{};
  WallTime timestamp;
  DatabaseChecksum checksum{};  // after the newest cut; kOurs and kPartial
  std::uint32_t page_size = 0;
  std::uint32_t commit_pages = 0;
  ltx::WalRange wal;
  std::optional<WalPosition> position;  // where the newest cut ends, if a record of it fits
};

struct CutRequest {
  const Segment* segment = nullptr;  // committed
  fs::File* scan_spool = nullptr;    // pages that a scan found to differ; may be none
  RawPageReader read_raw;
  WallTime timestamp;  // not before the segment's last commit
};

enum class RebuildFit : std::uint8_t { kFits, kDiffers };

class Cutter {
 public:
  Cutter(CutterOptions options, fs::FileSystem& fs, Staging& staging, Logger& log);

  // Reads what is there and brings the page checksums up to the newest cut.
  Result<History> Open();
  const History& history() const { return history_; }

  // Makes good for a cut that local state could not follow (a full disk). Before anything that
  // rests on history() or the page checksums; a failure leaves history() as it was.
  Result<void> Settle();

  // The history that the next cut continues is one of which nothing but its newest txid is known.
  // The staging must hold no cut.
  void Adopt(Txid newest);

  // The files of history() are gone, and nothing but its newest txid and time counts: the next cut
  // is its successor, with every page. The staging must hold no cut.
  void LoseFiles();

  // Forgets the page checksums: the next cut holds every page. `page_size` is the database's.
  Result<void> StartOver(std::uint32_t page_size);

  // The checksum of a page as of the newest cut; 0 if it is not in the database.
  Result<std::uint64_t> ChecksumOf(PageNo page_no);

  // For a newest cut whose content is in the database, though the page checksums are not known: a
  // scan sets them one by one, beginning with an empty array. Pages that are captured meanwhile
  // may be set to anything; the next cut sets them right.
  Result<void> BeginRebuild(std::uint32_t page_size);
  Result<void> RebuildPage(PageNo page_no, std::uint64_t checksum);
  // Whether the pages add up to what the newest cut says. If nothing was captured during the scan
  // they have to.
  Result<RebuildFit> FinishRebuild();

  // The newest cut is what the database is at `position` too: no page differs.
  Result<void> RecordPosition(const WalPosition& position);

  // One cut, the successor of the newest one. kPreconditionFailed if the page checksums turn out to
  // be lost (history().kind is not kOurs any more): what is to be cut needs a scan beside it.
  Result<StagedCut> Cut(const CutRequest& request);

  // Makes the page checksums durable as of the newest cut, so that older cuts may be pruned.
  Result<void> Checkpoint();
  Txid checkpointed() const { return checksums_ ? checksums_->base().txid : Txid{}; }

 private:
  // What one walk over a cut's pages found.
  struct Changes;

  void NoteIfLost(const Error& error);
  Result<void> LoadHistory();
  Result<void> LoadChecksums();
  Result<bool> RedoCutsAfterBase();
  Result<void> ApplyCut(Txid txid);
  Result<void> Survey(const CutRequest& request, Changes& changes);
  Result<void> WritePages(MergedPages& pages, const Changes& changes, ltx::Encoder& encoder) const;
  Result<void> Apply(Changes& changes, std::uint32_t commit_pages);
  ltx::Header MakeHeader(const CutRequest& request, DatabaseChecksum after) const;
  MergeInputs InputsOf(const CutRequest& request) const;

  const CutterOptions options_;
  fs::FileSystem& fs_;
  Staging& staging_;
  Logger& log_;

  History history_;
  std::optional<PageChecksums> checksums_;
  DatabaseChecksum array_sum_{};  // of checksums_; the newest cut's, but after a rebuild
  bool reopen_ = false;           // Open() is owed: a cut was made, but not all that follows it
};

}  // namespace runnel::capture
