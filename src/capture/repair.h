// Makes good for lost continuity: compares the live database with what the newest cut left, page by
// page, and collects what differs in a spool.

#pragma once

#include <memory>
#include <optional>

#include "base/result.h"
#include "capture/cutter.h"
#include "capture/scan.h"
#include "capture/state_paths.h"
#include "fs/file_stream.h"
#include "fs/file_system.h"
#include "ltx/encoder.h"

namespace runnel::capture {

enum class RepairKind : std::uint8_t {
  kDiff,     // ship the pages that differ from the page checksums (all, if there are none yet)
  kRebuild,  // nothing was missed: only set the page checksums
};

// One thread at a time. While a repair lives, nobody else uses the cutter.
class Repair {
 public:
  static Result<std::unique_ptr<Repair>> Begin(RepairKind kind, Cutter& cutter,
                                               std::unique_ptr<DatabaseScan> scan,
                                               fs::FileSystem& fs, const StatePaths& paths,
                                               const fs::Ownership& ownership);
  ~Repair();

  RepairKind kind() const { return kind_; }
  const DatabaseScan& scan() const { return *scan_; }

  // Reads on, about `max_bytes`. False at the end of the database.
  Result<bool> Step(std::uint64_t max_bytes);

  // After the last step: closes the spool. How many pages are in it.
  Result<std::uint64_t> Finish();

  // An LTX file of the pages that differ; for kDiff, after Finish().
  fs::File* spool() { return spool_.get(); }

 private:
  Repair(RepairKind kind, Cutter& cutter, std::unique_ptr<DatabaseScan> scan, fs::FileSystem& fs,
         fs::Path spool_path);

  Result<void> OpenSpool(const fs::Ownership& ownership);
  Result<void> Visit(PageNo page_no, ByteView page);

  const RepairKind kind_;
  Cutter& cutter_;
  std::unique_ptr<DatabaseScan> scan_;
  fs::FileSystem& fs_;
  const fs::Path spool_path_;
  std::unique_ptr<fs::File> spool_;
  std::unique_ptr<fs::FileSink> sink_;
  std::unique_ptr<ltx::Encoder> encoder_;
  std::uint64_t pages_differing_ = 0;
};

}  // namespace runnel::capture
