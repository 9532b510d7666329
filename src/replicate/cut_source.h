// What replication needs of a database under capture. capture::Database has it (capture_source.h);
// tests feed it cuts of their own.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/ids.h"
#include "base/result.h"
#include "capture/database.h"
#include "capture/scan.h"
#include "capture/staging.h"

namespace runnel::replicate {

// A scan of the whole database (capture/scan.h). One thread at a time.
class PageScan {
 public:
  virtual ~PageScan() = default;
  virtual const capture::ScanStart& start() const = 0;
  // Visits the next pages, ascending, without the lock page. False once the last one was visited.
  virtual Result<bool> Step(std::uint64_t max_bytes,
                            const capture::DatabaseScan::PageVisitor& visit) = 0;
};

// Thread-safe.
class CutSource {
 public:
  virtual ~CutSource() = default;

  // The cuts that are durable on the local disk.
  virtual capture::Staging& staging() = 0;

  // As those of capture::Database.
  virtual Result<void> AdoptHistory(Txid replica_newest) = 0;
  virtual Result<Txid> RequestCut() = 0;
  virtual void CompareAgain(capture::CompareExtent extent) = 0;
  virtual void ReleaseCuts(Txid last) = 0;
  virtual Result<std::unique_ptr<PageScan>> BeginScan() = 0;
  virtual bool IsCurrent(const PageScan& scan) const = 0;
};

}  // namespace runnel::replicate
