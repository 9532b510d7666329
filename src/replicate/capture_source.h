// A capture::Database as the source of cuts.

#pragma once

#include <memory>

#include "capture/database.h"
#include "replicate/cut_source.h"

namespace runnel::replicate {

class CaptureSource final : public CutSource {
 public:
  // `database` outlives the source, and the source every scan.
  explicit CaptureSource(capture::Database& database) : database_(database) {}

  capture::Staging& staging() override { return database_.staging(); }
  Result<void> AdoptHistory(Txid replica_newest) override {
    return database_.AdoptHistory(replica_newest);
  }
  Result<Txid> RequestCut() override { return database_.RequestCut(); }
  void CompareAgain(capture::CompareExtent extent) override { database_.CompareAgain(extent); }
  void ReleaseCuts(Txid last) override { database_.ReleaseCuts(last); }
  Result<std::unique_ptr<PageScan>> BeginScan() override;
  bool IsCurrent(const PageScan& scan) const override;

 private:
  capture::Database& database_;
};

}  // namespace runnel::replicate
