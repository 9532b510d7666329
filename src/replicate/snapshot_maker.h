// Makes one snapshot of the live database, as local files that together are it: a scan, and the
// cuts since the scan began.
//
//   Scan() until false -> AwaitCut() until true -> Condense() -> Store() for each destination
//
// Nothing is held while it waits: neither a read transaction nor a lock of the database.

#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "capture/staging.h"
#include "ltx/encoder.h"
#include "replicate/cut_source.h"
#include "replicate/destination.h"
#include "replicate/settings.h"
#include "replicate/spool.h"

namespace runnel::replicate {

// One thread at a time. A failure of any step spoils the whole; make a new one.
class SnapshotMaker {
 public:
  // kBusy while the database cannot be scanned, kNoSpace if the scan would not fit on the disk.
  static Result<std::unique_ptr<SnapshotMaker>> Begin(CutSource& source, const LocalFiles& local,
                                                      const Environment& environment);

  // Takes a staged full copy instead of a scan.
  static Result<std::unique_ptr<SnapshotMaker>> FromFullCopy(CutSource& source, Txid txid,
                                                             const LocalFiles& local,
                                                             const Environment& environment);

  // Reads the next pages. False once all are read and a cut that has them is on its way.
  Result<bool> Scan(std::uint64_t max_bytes);

  // The cut is there. kUnavailable if continuity was lost meanwhile.
  Result<bool> AwaitCut();

  // Brings the cuts since the scan began to a number that can be merged at once.
  Result<void> Condense(const std::atomic<bool>& stop);

  // Merges all of it into the destination's object.
  Result<void> Store(Destination& destination, const std::atomic<bool>& stop);

  Txid txid() const { return last_; }  // after Condense()

 private:
  SnapshotMaker(CutSource& source, const LocalFiles& local, const Environment& environment)
      : source_(source), local_(local), environment_(environment) {}

  Result<void> OpenSpool(const ltx::Header& header);
  Result<void> MergeCuts(Txid first, Txid last, const std::atomic<bool>& stop);
  Result<void> CheckCurrent() const;

  CutSource& source_;
  const LocalFiles local_;
  const Environment environment_;
  std::unique_ptr<PageScan> scan_;  // none: from a full copy
  capture::Staging::Pin pin_;
  std::unique_ptr<SpoolFile> spool_;
  std::unique_ptr<ltx::Encoder> encoder_;
  Txid base_{};
  Txid wanted_{};
  Txid last_{};
  ltx::Header last_header_;
  std::vector<std::unique_ptr<SpoolFile>> condensed_;
  Txid condensed_through_{};
};

}  // namespace runnel::replicate
