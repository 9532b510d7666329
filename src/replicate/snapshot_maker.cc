#include "replicate/snapshot_maker.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "fs/temporary.h"
#include "ltx/decoder.h"
#include "ltx/merge.h"
#include "replicate/merge_inputs.h"
#include "replicate/streams.h"

namespace runnel::replicate {
namespace {

// How many files are merged at once.
constexpr std::uint64_t kInputsMax = 128;
// Kept free for the application and for capture, which come first.
constexpr std::uint64_t kSpareBytes = std::uint64_t{64} << 20;

Result<void> CheckRoom(fs::FileSystem& fs, const fs::Path& folder,
                       const capture::ScanStart& start) {
  const std::uint64_t needed =
      std::uint64_t{start.commit_pages} * start.page_size * 2 + kSpareBytes;
  RUNNEL_TRY(const std::uint64_t free, fs.FreeBytes(folder));
  if (free >= needed) return {};
  return Fail(Errc::kNoSpace, fmt::format("{} has {} bytes free, a scan may take {}",
                                          folder.string(), free, needed));
}

std::unique_ptr<ltx::IndexSpool> MakeIndex(const Environment& environment,
                                           const LocalFiles& local) {
  return capture::MakeSpillingIndexSpool(
      environment.fs, fs::UniqueTemporaryPath(local.spool_folder / "index", environment.random),
      local.ownership);
}

}  // namespace

Result<std::unique_ptr<SnapshotMaker>> SnapshotMaker::Begin(CutSource& source,
                                                            const LocalFiles& local,
                                                            const Environment& environment) {
  std::unique_ptr<SnapshotMaker> maker(new SnapshotMaker(source, local, environment));
  RUNNEL_TRY(maker->scan_, source.BeginScan());
  const capture::ScanStart& start = maker->scan_->start();
  if (start.base == Txid{0} || start.commit_pages == 0) {
    return Fail(Errc::kBusy, "the database has no cut yet");
  }
  RUNNEL_TRY_VOID(environment.fs.CreateDirectories(local.spool_folder, local.ownership));
  RUNNEL_TRY_VOID(CheckRoom(environment.fs, local.spool_folder, start));
  // The base itself may be the newest state in the end.
  maker->pin_ = source.staging().PinFrom(start.base);
  RUNNEL_TRY(const capture::CutSummary base, source.staging().Summary(start.base));
  maker->base_ = start.base;
  RUNNEL_TRY_VOID(maker->OpenSpool({.page_size = start.page_size,
                                    .commit_pages = start.commit_pages,
                                    .min_txid = Txid{1},
                                    .max_txid = start.base,
                                    .timestamp = base.header.timestamp}));
  return maker;
}

Result<std::unique_ptr<SnapshotMaker>> SnapshotMaker::FromFullCopy(CutSource& source, Txid txid,
                                                                   const LocalFiles& local,
                                                                   const Environment& environment) {
  std::unique_ptr<SnapshotMaker> maker(new SnapshotMaker(source, local, environment));
  maker->pin_ = source.staging().PinFrom(txid);
  RUNNEL_TRY(auto file, source.staging().OpenCut(txid));
  RUNNEL_TRY(const fs::FileInfo info, file->Info());
  OwnedFileSource bytes(std::move(file), info.size_bytes);
  ltx::Decoder decoder(bytes);
  RUNNEL_TRY(ltx::Header header, decoder.ReadHeader());
  header.min_txid = Txid{1};
  header.wal = {};
  maker->base_ = maker->wanted_ = txid;
  RUNNEL_TRY_VOID(maker->OpenSpool(header));
  Bytes page(header.page_size);
  while (true) {
    RUNNEL_TRY(const auto entry, decoder.ReadPage(page));
    if (!entry) break;
    RUNNEL_TRY_VOID(maker->encoder_->WritePage(entry->page_no, page));
  }
  RUNNEL_TRY_VOID(decoder.Finish());
  RUNNEL_TRY_VOID(maker->encoder_->Finish());
  RUNNEL_TRY_VOID(maker->spool_->Flush());
  return maker;
}

Result<void> SnapshotMaker::OpenSpool(const ltx::Header& header) {
  RUNNEL_TRY(spool_, SpoolFile::Create(environment_, local_, "snapshot"));
  encoder_ = std::make_unique<ltx::Encoder>(spool_->sink(),
                                            ltx::EncoderOptions{.encoding = local_.encoding},
                                            MakeIndex(environment_, local_));
  return encoder_->WriteHeader(header);
}

Result<void> SnapshotMaker::CheckCurrent() const {
  if (!scan_ || source_.IsCurrent(*scan_)) return {};
  return Fail(Errc::kUnavailable, "the database was written unseen during the scan");
}

Result<bool> SnapshotMaker::Scan(std::uint64_t max_bytes) {
  RUNNEL_TRY_VOID(CheckCurrent());
  RUNNEL_TRY(const bool more, scan_->Step(max_bytes, [this](PageNo page_no, ByteView page) {
    return encoder_->WritePage(page_no, page);
  }));
  if (more) return true;
  RUNNEL_TRY_VOID(encoder_->Finish());
  RUNNEL_TRY_VOID(spool_->Flush());
  RUNNEL_TRY(wanted_, source_.RequestCut());
  return false;
}

Result<bool> SnapshotMaker::AwaitCut() {
  RUNNEL_TRY_VOID(CheckCurrent());
  const auto newest = source_.staging().newest();
  return newest && newest->txid >= wanted_;
}

Result<void> SnapshotMaker::Condense(const std::atomic<bool>& stop) {
  RUNNEL_TRY_VOID(CheckCurrent());
  last_ = std::max(wanted_, base_);
  RUNNEL_TRY(const capture::CutSummary last, source_.staging().Summary(last_));
  last_header_ = last.header;
  condensed_through_ = base_;
  while (ToInt(last_) - ToInt(condensed_through_) > kInputsMax) {
    const Txid through{ToInt(condensed_through_) + kInputsMax};
    RUNNEL_TRY_VOID(MergeCuts(Next(condensed_through_), through, stop));
    condensed_through_ = through;
  }
  return {};
}

Result<void> SnapshotMaker::MergeCuts(Txid first, Txid last, const std::atomic<bool>& stop) {
  MergeInputs inputs;
  for (Txid txid = first; txid <= last; txid = Next(txid)) {
    RUNNEL_TRY(auto cut, source_.staging().OpenCut(txid));
    RUNNEL_TRY_VOID(inputs.Add(std::move(cut)));
  }
  RUNNEL_TRY(auto part, SpoolFile::Create(environment_, local_, "cuts"));
  StoppableSink sink(part->sink(), stop);
  RUNNEL_TRY_VOID(ltx::Merge(inputs.sources(), sink,
                             {.encoder = {.encoding = local_.encoding},
                              .index_spool = MakeIndex(environment_, local_),
                              .snapshot_checksum = std::nullopt}));
  RUNNEL_TRY_VOID(part->Flush());
  condensed_.push_back(std::move(part));
  return {};
}

Result<void> SnapshotMaker::Store(Destination& destination, const std::atomic<bool>& stop) {
  MergeInputs inputs;
  RUNNEL_TRY(auto spool, spool_->OpenForReading());
  RUNNEL_TRY_VOID(inputs.Add(std::move(spool)));
  for (const auto& part : condensed_) {
    RUNNEL_TRY(auto file, part->OpenForReading());
    RUNNEL_TRY_VOID(inputs.Add(std::move(file)));
  }
  for (Txid txid = Next(condensed_through_); txid <= last_; txid = Next(txid)) {
    RUNNEL_TRY(auto cut, source_.staging().OpenCut(txid));
    RUNNEL_TRY_VOID(inputs.Add(std::move(cut)));
  }
  std::optional<DatabaseChecksum> checksum;
  if (last_header_.chain) checksum = last_header_.chain->after;
  RUNNEL_TRY_VOID(destination.PutMerged(kLevelSnapshot, {.min = Txid{1}, .max = last_},
                                        last_header_.timestamp, inputs.sources(), checksum, stop));
  return {};
}

}  // namespace runnel::replicate
