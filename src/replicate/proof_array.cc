#include "replicate/proof_array.h"

#include <utility>

#include "replicate/object_proof.h"

namespace runnel::replicate {

ProofArray::ProofArray(const Destination& destination, fs::Path path, const LocalFiles& local,
                       const Environment& environment)
    : destination_(destination), path_(std::move(path)), local_(local), environment_(environment) {}

void ProofArray::Discard() {
  array_.reset();
  txid_ = Txid{0};
  commit_pages_ = 0;
  sum_ = {};
}

Result<void> ProofArray::Load() {
  if (loaded_) return {};
  RUNNEL_TRY(array_, capture::PageChecksums::Open(environment_.fs, path_));
  loaded_ = true;
  if (!array_) return {};
  const capture::ChecksumBase base = array_->base();
  RUNNEL_TRY(const std::uint64_t sum, array_->Sum(PageNo{1}, PageNo{base.commit_pages}));
  // After a crash the array may be ahead of its base in some pages.
  if (base.txid == Txid{0} || DatabaseChecksum{sum} != base.checksum) {
    Discard();
    return {};
  }
  page_size_ = base.page_size;
  txid_ = base.txid;
  commit_pages_ = base.commit_pages;
  sum_ = ltx::ChainSum(base.checksum);
  return {};
}

// A cut if there is one, so that every txid is passed; else what a restore would take. It begins
// with that as well: a snapshot bridges what is damaged before it.
std::optional<LeveledFile> ProofArray::NextFile(Txid limit) const {
  return destination_.WithManifest([&](const Manifest& manifest) -> std::optional<LeveledFile> {
    const Txid next = Next(txid_);
    if (next > limit) return std::nullopt;
    const auto cut = manifest.Find(kLevelCut, {.min = next, .max = next});
    if (cut && txid_ != Txid{0}) return LeveledFile{kLevelCut, *cut};
    for (const LeveledFile& file : manifest.PathTo(limit)) {
      if (file.file.range.min <= next && file.file.range.max > txid_) return file;
    }
    return std::nullopt;
  });
}

Result<bool> ProofArray::Advance(Txid limit) {
  RUNNEL_TRY_VOID(Load());
  const auto file = NextFile(limit);
  if (!file) return false;
  // Read twice: pages count only once the whole file is proven.
  RUNNEL_TRY(const ltx::Header header,
             ProveObject(destination_.store(), destination_.layout(), *file, nullptr));
  if (!array_ || header.page_size != page_size_) {
    Discard();
    RUNNEL_TRY_VOID(
        environment_.fs.CreateDirectories(path_.path().parent_path(), local_.ownership));
    RUNNEL_TRY(array_, capture::PageChecksums::Create(environment_.fs, path_, local_.ownership,
                                                      header.page_size));
    page_size_ = header.page_size;
  }
  RUNNEL_TRY_VOID(Apply(*file, header));
  return true;
}

Result<void> ProofArray::Apply(const LeveledFile& file, const ltx::Header& header) {
  const auto take = [this](PageNo page_no, std::uint64_t checksum) -> Result<void> {
    RUNNEL_TRY(const std::uint64_t before, array_->Get(page_no));
    sum_.Remove(before);
    sum_.Add(checksum);
    return array_->Set(page_no, checksum);
  };
  auto applied = ProveObject(destination_.store(), destination_.layout(), file, take);
  if (!applied) {
    Discard();
    return Fail(std::move(applied).error());
  }
  for (PageNo page{header.commit_pages + 1}; ToInt(page) <= commit_pages_; page = Next(page)) {
    RUNNEL_TRY(const std::uint64_t before, Get(page));
    sum_.Remove(before);
  }
  if (auto truncated = array_->Truncate(header.commit_pages); !truncated) {
    DiscardIfLost(truncated.error());
    return truncated;
  }
  commit_pages_ = header.commit_pages;
  txid_ = header.max_txid;
  if (!header.chain || header.chain->after == sum_.value()) return {};
  Discard();
  return Fail(Errc::kCorruption,
              destination_.layout().LtxKey(file.level, file.file.range).text() +
                  ": the pages that lead up to it do not add up to its database checksum");
}

Result<std::uint64_t> ProofArray::Get(PageNo page_no) {
  auto checksum = array_->Get(page_no);
  if (!checksum) DiscardIfLost(checksum.error());
  return checksum;
}

Result<void> ProofArray::Save() {
  if (!array_ || txid_ == Txid{0}) return {};
  auto saved = array_->Checkpoint({.txid = txid_,
                                   .checksum = sum_.value(),
                                   .page_size = page_size_,
                                   .commit_pages = commit_pages_});
  if (!saved) DiscardIfLost(saved.error());
  return saved;
}

Result<void> ProofArray::Rest() {
  if (!array_) return {};
  auto rested = array_->Rest();
  if (!rested) DiscardIfLost(rested.error());
  return rested;
}

void ProofArray::DiscardIfLost(const Error& error) {
  if (error.code() == Errc::kPreconditionFailed) Discard();
}

}  // namespace runnel::replicate
