#include "capture/repair.h"

#include <utility>

#include "fs/temporary.h"
#include "ltx/chain.h"

namespace runnel::capture {

Repair::Repair(RepairKind kind, Cutter& cutter, std::unique_ptr<DatabaseScan> scan,
               fs::FileSystem& fs, fs::Path spool_path)
    : kind_(kind),
      cutter_(cutter),
      scan_(std::move(scan)),
      fs_(fs),
      spool_path_(std::move(spool_path)) {}

Repair::~Repair() {
  encoder_.reset();
  sink_.reset();
  if (spool_) {
    spool_.reset();
    (void)fs_.Remove(spool_path_);  // a left-over is swept at the next start
  }
}

Result<std::unique_ptr<Repair>> Repair::Begin(RepairKind kind, Cutter& cutter,
                                              std::unique_ptr<DatabaseScan> scan,
                                              fs::FileSystem& fs, const StatePaths& paths,
                                              const fs::Ownership& ownership) {
  std::unique_ptr<Repair> repair(
      new Repair(kind, cutter, std::move(scan), fs, paths.spool("repair")));
  if (kind == RepairKind::kRebuild) {
    RUNNEL_TRY_VOID(cutter.BeginRebuild(repair->scan_->start().page_size));
  } else {
    RUNNEL_TRY_VOID(repair->OpenSpool(ownership));
  }
  return repair;
}

Result<void> Repair::OpenSpool(const fs::Ownership& ownership) {
  RUNNEL_TRY(spool_, fs_.Open(spool_path_, fs::OpenMode::kCreate, ownership));
  RUNNEL_TRY_VOID(spool_->Truncate(0));
  sink_ = std::make_unique<fs::FileSink>(*spool_);
  encoder_ = std::make_unique<ltx::Encoder>(
      *sink_, ltx::EncoderOptions{},
      MakeSpillingIndexSpool(fs_, fs::TemporaryPath(spool_path_), ownership));
  // Never shipped as it is; any txid but 1, whose files may have no gaps.
  return encoder_->WriteHeader({.page_size = scan_->start().page_size,
                                .commit_pages = scan_->start().commit_pages,
                                .min_txid = Txid{2},
                                .max_txid = Txid{2}});
}

Result<bool> Repair::Step(std::uint64_t max_bytes) {
  return scan_->Step(max_bytes,
                     [this](PageNo page_no, ByteView page) { return Visit(page_no, page); });
}

Result<void> Repair::Visit(PageNo page_no, ByteView page) {
  const std::uint64_t checksum = ltx::PageChecksum(page_no, page);
  if (kind_ == RepairKind::kRebuild) return cutter_.RebuildPage(page_no, checksum);
  RUNNEL_TRY(const std::uint64_t known, cutter_.ChecksumOf(page_no));
  if (known == checksum) return {};
  ++pages_differing_;
  return encoder_->WritePage(page_no, page);
}

Result<std::uint64_t> Repair::Finish() {
  if (encoder_) {
    RUNNEL_TRY(const ltx::Trailer trailer, encoder_->Finish());
    (void)trailer;
    RUNNEL_TRY_VOID(sink_->Flush());
    // Not kept until the cut: at a start all databases wait for theirs at the same time.
    encoder_.reset();
    sink_.reset();
  }
  return pages_differing_;
}

}  // namespace runnel::capture
