#include "capture/cutter.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "fs/spill_buffer.h"
#include "ltx/chain.h"
#include "ltx/decoder.h"
#include "wal/format.h"

namespace runnel::capture {
namespace {

constexpr std::size_t kChangeSize = 12;
constexpr std::size_t kChangesInMemory = std::size_t{1} << 20;

// What Litestream, taking over, is to believe of the WAL: that it had read the first frame of the
// generation in which the cut ends (docs/formats/ltx.md says why no more).
ltx::WalRange WalRangeOf(const WalPosition& end, std::uint32_t page_size) {
  const std::uint64_t offset = wal::FrameEnd(FrameNo{0}, page_size);
  const FrameNo believed = std::min(end.frame, FrameNo{1});
  return {.offset_bytes = offset,
          .size_bytes = wal::FrameEnd(believed, page_size) - offset,
          .salt1 = end.salts.salt1,
          .salt2 = end.salts.salt2};
}

}  // namespace

struct Cutter::Changes {
  explicit Changes(std::unique_ptr<fs::SpillBuffer> buffer) : pages(std::move(buffer)) {}

  ltx::ChainSum sum;                       // after the cut, once surveyed
  ltx::ChainSum added;                     // of the cut's own pages
  std::unique_ptr<fs::SpillBuffer> pages;  // (page number, new checksum), ascending
};

Cutter::Cutter(CutterOptions options, fs::FileSystem& fs, Staging& staging, Logger& log)
    : options_(std::move(options)), fs_(fs), staging_(staging), log_(log) {}

Result<History> Cutter::Open() {
  reopen_ = true;  // until all of it succeeded
  checksums_.reset();
  RUNNEL_TRY_VOID(LoadHistory());
  if (history_.kind != HistoryKind::kNone && history_.kind != HistoryKind::kForeign) {
    RUNNEL_TRY_VOID(LoadChecksums());
  }
  if (checksums_) RUNNEL_TRY_VOID(checksums_->Rest());
  reopen_ = false;
  return history_;
}

Result<void> Cutter::Settle() {
  if (!reopen_) return {};
  const History before = history_;
  auto opened = Open();
  if (opened) return {};
  history_ = before;
  return Fail(std::move(opened).error());
}

Result<void> Cutter::LoadHistory() {
  history_ = {};
  const std::optional<StagedCut> newest = staging_.newest();
  if (!newest) return {};
  RUNNEL_TRY(const CutSummary summary, staging_.Summary(newest->txid));
  history_ = {.kind = summary.header.chain ? HistoryKind::kPartial : HistoryKind::kForeign,
              .newest = newest->txid,
              .timestamp = summary.header.timestamp,
              .checksum = summary.header.chain.value_or(ltx::Chain{}).after,
              .page_size = summary.header.page_size,
              .commit_pages = summary.header.commit_pages,
              .wal = summary.header.wal,
              .position = {}};
  RUNNEL_TRY(const auto record, ReadPositionRecord(fs_, options_.paths.position()));
  if (record && record->txid == newest->txid &&
      record->cut_checksum == summary.trailer.file_checksum) {
    history_.position = record->position;
  }
  return {};
}

Result<void> Cutter::LoadChecksums() {
  RUNNEL_TRY(auto checksums, PageChecksums::Open(fs_, options_.paths.checksums()));
  if (!checksums || checksums->base().page_size != history_.page_size ||
      checksums->base().txid > history_.newest || checksums->base().txid == Txid{0}) {
    return {};
  }
  checksums_ = std::move(*checksums);
  RUNNEL_TRY(const bool fits, RedoCutsAfterBase());
  if (fits) {
    history_.kind = HistoryKind::kOurs;
  } else {
    log_.Warn("page checksums do not fit the newest local file; they are made anew by a scan",
              {{"txid", history_.newest}});
    checksums_.reset();
  }
  return {};
}

Result<bool> Cutter::RedoCutsAfterBase() {
  for (Txid txid = Next(checksums_->base().txid); txid <= history_.newest; txid = Next(txid)) {
    if (auto applied = ApplyCut(txid); !applied) {
      const Errc code = applied.error().code();
      if (code == Errc::kNotFound || code == Errc::kCorruption) return false;
      return Fail(std::move(applied).error());
    }
  }
  RUNNEL_TRY_VOID(checksums_->Truncate(history_.commit_pages));
  RUNNEL_TRY(const std::uint64_t sum, checksums_->Sum(PageNo{1}, PageNo{history_.commit_pages}));
  array_sum_ = DatabaseChecksum{sum};
  return array_sum_ == history_.checksum;
}

Result<void> Cutter::ApplyCut(Txid txid) {
  RUNNEL_TRY(auto file, staging_.OpenCut(txid));
  RUNNEL_TRY(const fs::FileInfo info, file->Info());
  fs::FileSource source(*file, 0, info.size_bytes);
  ltx::Decoder decoder(source);
  RUNNEL_TRY(const ltx::Header header, decoder.ReadHeader());
  if (header.page_size != history_.page_size) {
    return Fail(Errc::kCorruption, "the page size changes within the local files");
  }
  Bytes page(header.page_size);
  for (;;) {
    RUNNEL_TRY(const auto entry, decoder.ReadPage(page));
    if (!entry) break;
    RUNNEL_TRY_VOID(checksums_->Set(entry->page_no, ltx::PageChecksum(entry->page_no, page)));
  }
  RUNNEL_TRY(const ltx::Trailer trailer, decoder.Finish());
  (void)trailer;
  return checksums_->Truncate(header.commit_pages);
}

void Cutter::Adopt(Txid newest) {
  RUNNEL_CHECK(!staging_.newest());
  // An array that nothing has been applied to stays: no page is in it, whatever the txid.
  const bool array_is_empty = checksums_ && history_.commit_pages == 0;
  if (array_is_empty) {
    history_.newest = newest;
    return;
  }
  checksums_.reset();
  history_ = {};
  history_.newest = newest;
}

void Cutter::LoseFiles() {
  RUNNEL_CHECK(!staging_.newest());
  checksums_.reset();
  reopen_ = false;
  const History before = history_;
  history_ = {};
  history_.newest = before.newest;
  history_.timestamp = before.timestamp;
}

Result<void> Cutter::StartOver(std::uint32_t page_size) {
  RUNNEL_TRY(checksums_,
             PageChecksums::Create(fs_, options_.paths.checksums(), options_.ownership, page_size));
  array_sum_ = {};
  history_.checksum = {};
  history_.page_size = page_size;
  history_.commit_pages = 0;
  history_.kind = HistoryKind::kOurs;
  return {};
}

Result<std::uint64_t> Cutter::ChecksumOf(PageNo page_no) {
  RUNNEL_CHECK(checksums_.has_value());
  auto checksum = checksums_->Get(page_no);
  if (!checksum) NoteIfLost(checksum.error());
  return checksum;
}

// Removed by hand, say. What is known without them stays: a number that was adopted is in no cut
// from which it could be read again.
void Cutter::NoteIfLost(const Error& error) {
  if (error.code() != Errc::kPreconditionFailed) return;
  checksums_.reset();
  if (staging_.newest()) {
    reopen_ = true;
  } else {
    const Txid newest = history_.newest;
    history_ = {};
    history_.newest = newest;
  }
}

Result<void> Cutter::BeginRebuild(std::uint32_t page_size) {
  RUNNEL_TRY(checksums_,
             PageChecksums::Create(fs_, options_.paths.checksums(), options_.ownership, page_size));
  return {};
}

Result<void> Cutter::RebuildPage(PageNo page_no, std::uint64_t checksum) {
  // Pages past the newest cut's end are news to it; the next cut brings them.
  if (ToInt(page_no) > history_.commit_pages) return {};
  auto set = checksums_->Set(page_no, checksum);
  if (!set) NoteIfLost(set.error());
  return set;
}

Result<RebuildFit> Cutter::FinishRebuild() {
  RUNNEL_TRY(const std::uint64_t sum, checksums_->Sum(PageNo{1}, PageNo{history_.commit_pages}));
  RUNNEL_TRY_VOID(checksums_->Rest());
  array_sum_ = DatabaseChecksum{sum};
  // What a foreign cut's database added up to is not known; the chain begins with what was found.
  if (history_.kind == HistoryKind::kForeign) history_.checksum = array_sum_;
  history_.kind = HistoryKind::kOurs;
  return array_sum_ == history_.checksum ? RebuildFit::kFits : RebuildFit::kDiffers;
}

Result<StagedCut> Cutter::Cut(const CutRequest& request) {
  RUNNEL_TRY_VOID(Settle());
  if (history_.kind != HistoryKind::kOurs) {
    return Fail(Errc::kPreconditionFailed, "the page checksums were lost after the last cut");
  }
  RUNNEL_CHECK(checksums_.has_value());
  const Segment& segment = *request.segment;
  RUNNEL_CHECK(segment.committed() && segment.start().page_size == history_.page_size);

  Changes changes(std::make_unique<fs::SpillBuffer>(fs_, options_.paths.spool("changes"),
                                                    options_.ownership, kChangesInMemory));
  if (auto surveyed = Survey(request, changes); !surveyed) {
    NoteIfLost(surveyed.error());
    RUNNEL_TRY_VOID(Settle());
    return Fail(std::move(surveyed).error());
  }
  const ltx::Header header = MakeHeader(request, changes.sum.value());
  RUNNEL_TRY(const StagedCut cut,
             staging_.Append(header, {.encoding = options_.encoding},
                             [&](ltx::Encoder& encoder) -> Result<void> {
                               RUNNEL_TRY(auto pages, MergedPages::Open(InputsOf(request)));
                               return WritePages(*pages, changes, encoder);
                             }));

  history_.newest = cut.txid;
  history_.timestamp = header.timestamp;
  history_.checksum = header.chain->after;
  array_sum_ = history_.checksum;
  history_.wal = header.wal;
  history_.position.reset();
  const auto follow_up = [&]() -> Result<void> {
    RUNNEL_TRY_VOID(Apply(changes, header.commit_pages));
    RUNNEL_TRY_VOID(checksums_->Rest());
    history_.commit_pages = header.commit_pages;
    return RecordPosition(segment.end().position);
  };
  if (auto followed = follow_up(); !followed) {
    reopen_ = true;
    log_.Warn("a cut was made, but local state could not follow; it is made good at the next one",
              {{"txid", cut.txid}, {"error", followed.error()}});
  }
  return cut;
}

// The second reading must give what the first one gave, on which the header rests. It may not:
// pages that nobody wrote are read from the live file, where a checkpoint may meanwhile put a later
// commit.
Result<void> Cutter::WritePages(MergedPages& pages, const Changes& changes,
                                ltx::Encoder& encoder) const {
  ltx::ChainSum sum;
  Bytes page(history_.page_size);
  for (;;) {
    RUNNEL_TRY(const auto page_no, pages.Next(page));
    if (!page_no) break;
    sum.Add(ltx::PageChecksum(*page_no, page));
    RUNNEL_TRY_VOID(encoder.WritePage(*page_no, page));
  }
  if (sum.value() == changes.added.value()) return {};
  return Fail(Errc::kUnavailable, "a page changed while it was cut");
}

// Finds what the cut does to the database checksum. Reads the pages a first time: the header, with
// the checksum, comes before the pages in the file.
Result<void> Cutter::Survey(const CutRequest& request, Changes& changes) {
  RUNNEL_TRY(auto pages, MergedPages::Open(InputsOf(request)));
  changes.sum = ltx::ChainSum(array_sum_);
  Bytes page(history_.page_size);
  std::array<std::byte, kChangeSize> change;
  for (;;) {
    RUNNEL_TRY(const auto page_no, pages->Next(page));
    if (!page_no) break;
    const std::uint64_t checksum = ltx::PageChecksum(*page_no, page);
    RUNNEL_TRY(const std::uint64_t old, checksums_->Get(*page_no));
    changes.sum.Remove(old);
    changes.sum.Add(checksum);
    changes.added.Add(checksum);
    PutLittleEndian(MutableBytes(change), 0, ToInt(*page_no));
    PutLittleEndian(MutableBytes(change), 4, checksum);
    RUNNEL_TRY_VOID(changes.pages->Append(change));
  }
  const std::uint32_t commit_pages = request.segment->end().commit_pages;
  if (commit_pages < history_.commit_pages) {
    RUNNEL_TRY(const std::uint64_t dropped,
               checksums_->Sum(PageNo{commit_pages + 1}, PageNo{history_.commit_pages}));
    changes.sum.Remove(dropped);
  }
  return {};
}

namespace {

// Sets checksums from the records that Survey() wrote.
class ChangeSink final : public ByteSink {
 public:
  explicit ChangeSink(PageChecksums& checksums) : checksums_(checksums) {}

  Result<void> Append(ByteView bytes) override {
    rest_.insert(rest_.end(), bytes.begin(), bytes.end());
    std::size_t used = 0;
    for (; rest_.size() - used >= kChangeSize; used += kChangeSize) {
      RUNNEL_TRY_VOID(checksums_.Set(PageNo{GetLittleEndian<std::uint32_t>(rest_, used)},
                                     GetLittleEndian<std::uint64_t>(rest_, used + 4)));
    }
    rest_.erase(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(used));
    return {};
  }

 private:
  PageChecksums& checksums_;
  Bytes rest_;
};

}  // namespace

Result<void> Cutter::Apply(Changes& changes, std::uint32_t commit_pages) {
  ChangeSink sink(*checksums_);
  RUNNEL_TRY_VOID(changes.pages->CopyTo(sink));
  if (commit_pages < history_.commit_pages) return checksums_->Truncate(commit_pages);
  return {};
}

ltx::Header Cutter::MakeHeader(const CutRequest& request, DatabaseChecksum after) const {
  const Txid txid = Next(history_.newest);
  // Order of time is order of txid, so that a restore to a time never shows later commits.
  const WallTime timestamp =
      std::max(request.timestamp, history_.timestamp + std::chrono::milliseconds(1));
  return {.page_size = history_.page_size,
          .commit_pages = request.segment->end().commit_pages,
          .min_txid = txid,
          .max_txid = txid,
          .timestamp = timestamp,
          .wal = WalRangeOf(request.segment->end().position, request.segment->start().page_size),
          .chain = ltx::Chain{.before = history_.checksum, .after = after}};
}

MergeInputs Cutter::InputsOf(const CutRequest& request) const {
  return {.segment = request.segment,
          .scan_spool = request.scan_spool,
          .previous_commit_pages = history_.commit_pages,
          .read_raw = request.read_raw};
}

Result<void> Cutter::RecordPosition(const WalPosition& position) {
  RUNNEL_TRY(const CutSummary summary, staging_.Summary(history_.newest));
  RUNNEL_TRY_VOID(WritePositionRecord(fs_, options_.paths.position(), options_.ownership,
                                      {.txid = history_.newest,
                                       .cut_checksum = summary.trailer.file_checksum,
                                       .commit_pages = history_.commit_pages,
                                       .position = position}));
  history_.position = position;
  return {};
}

Result<void> Cutter::Checkpoint() {
  // While a scan sets the checksums anew, and until the next cut after it, they stand for no txid.
  const bool stands_for_newest =
      !reopen_ && history_.kind == HistoryKind::kOurs && array_sum_ == history_.checksum;
  if (!stands_for_newest || checksums_->base().txid == history_.newest) return {};
  auto done = checksums_->Checkpoint({.txid = history_.newest,
                                      .checksum = history_.checksum,
                                      .page_size = history_.page_size,
                                      .commit_pages = history_.commit_pages});
  if (done) done = checksums_->Rest();
  if (!done) NoteIfLost(done.error());
  return done;
}

}  // namespace runnel::capture
