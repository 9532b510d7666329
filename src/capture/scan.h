// Reads every page of a live database without holding a read transaction.
//
// The database file is read as it lies on the disk, through SQLite's own handle, while
// applications write and checkpoints run. A page can only change there by a checkpoint, and a
// checkpoint only copies frames up to our read mark, which we have captured. So a page that nobody
// captured since the scan began reads the same at any moment of the scan; and a page that somebody
// captured is in the frames that were not backfilled when the scan began (the overlay), or in a cut
// after base(), and those win over what was read (docs/capture.md, "Scans").

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "capture/page_table.h"
#include "capture/segment.h"
#include "capture/staging.h"
#include "sqlite/connection.h"

namespace runnel::capture {

// What a scan stands on, taken in one moment.
struct ScanStart {
  std::uint32_t page_size = 0;
  std::uint32_t commit_pages = 0;
  Txid base{};                   // every page change after this cut is in a later cut
  std::uint64_t continuity = 0;  // numbers the stretches of uninterrupted capture
};

// One thread at a time. Owns a connection of its own, on which it only reads the raw file.
class DatabaseScan {
 public:
  using PageVisitor = std::function<Result<void>(PageNo, ByteView page)>;

  DatabaseScan(const ScanStart& start, std::unique_ptr<sqlite::Connection> connection,
               std::unique_ptr<Segment> overlay, Staging::Pin pin);
  ~DatabaseScan();

  const ScanStart& start() const { return start_; }
  // The cuts from Next(base()) on are kept in the staging for as long as the scan lives.
  Txid base() const { return start_.base; }

  // Visits the next pages, in ascending order without the lock page, until about `max_bytes` were
  // read. False once the last page was visited. After a failure every later call fails too.
  Result<bool> Step(std::uint64_t max_bytes, const PageVisitor& visit);

 private:
  Result<void> VisitChunk(std::uint32_t page_count, const PageVisitor& visit);
  Result<void> AdvanceOverlay();
  Result<bool> StepOn(std::uint64_t max_bytes, const PageVisitor& visit);

  const ScanStart start_;
  std::unique_ptr<sqlite::Connection> connection_;
  std::unique_ptr<Segment> overlay_;
  Staging::Pin pin_;
  PageNo next_{1};
  Bytes buffer_;
  std::optional<PageTable::Cursor> overlay_cursor_;
  std::optional<PagePlace> overlay_next_;
  std::optional<Error> failure_;
};

}  // namespace runnel::capture
