#include "replicate/capture_source.h"

#include <utility>

namespace runnel::replicate {
namespace {

class DatabasePageScan final : public PageScan {
 public:
  explicit DatabasePageScan(std::unique_ptr<capture::DatabaseScan> scan) : scan_(std::move(scan)) {}

  const capture::ScanStart& start() const override { return scan_->start(); }
  Result<bool> Step(std::uint64_t max_bytes,
                    const capture::DatabaseScan::PageVisitor& visit) override {
    return scan_->Step(max_bytes, visit);
  }
  const capture::DatabaseScan& scan() const { return *scan_; }

 private:
  std::unique_ptr<capture::DatabaseScan> scan_;
};

}  // namespace

Result<std::unique_ptr<PageScan>> CaptureSource::BeginScan() {
  RUNNEL_TRY(auto scan, database_.BeginScan());
  return std::make_unique<DatabasePageScan>(std::move(scan));
}

bool CaptureSource::IsCurrent(const PageScan& scan) const {
  return database_.IsCurrent(static_cast<const DatabasePageScan&>(scan).scan());
}

}  // namespace runnel::replicate
