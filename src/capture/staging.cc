#include "capture/staging.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "fs/file_operations.h"
#include "fs/file_stream.h"
#include "fs/spill_buffer.h"
#include "fs/temporary.h"
#include "ltx/decoder.h"
#include "store/layout.h"

namespace runnel::capture {
namespace {

// How much of a page index stays in memory: that of about 100,000 pages.
constexpr std::size_t kIndexInMemory = std::size_t{1} << 20;

class SpillingIndexSpool final : public ltx::IndexSpool {
 public:
  SpillingIndexSpool(fs::FileSystem& fs, fs::Path path, const fs::Ownership& ownership)
      : buffer_(fs, std::move(path), ownership, kIndexInMemory) {}
  Result<void> Append(ByteView bytes) override { return buffer_.Append(bytes); }
  Result<void> CopyTo(ByteSink& sink) override { return buffer_.CopyTo(sink); }

 private:
  fs::SpillBuffer buffer_;
};

// What is read from it goes to `to` as well.
class TeeSource final : public ByteSource {
 public:
  TeeSource(ByteSource& from, ByteSink& to) : from_(from), to_(to) {}

  Result<std::size_t> Read(MutableBytes out) override {
    RUNNEL_TRY(const std::size_t count, from_.Read(out));
    if (count == 0) return count;
    if (auto appended = to_.Append(out.first(count)); !appended) {
      sink_failure_ = appended.error();
      return Fail(std::move(appended).error());
    }
    return count;
  }

  const std::optional<Error>& sink_failure() const { return sink_failure_; }

 private:
  ByteSource& from_;
  ByteSink& to_;
  std::optional<Error> sink_failure_;
};

// kCorruption unless it is the whole cut of that txid.
Result<void> Prove(ByteSource& source, Txid txid) {
  ltx::Decoder decoder(source);
  RUNNEL_TRY(const ltx::Header header, decoder.ReadHeader());
  if (header.min_txid != txid || header.max_txid != txid) {
    return Fail(Errc::kCorruption, "the header names another txid");
  }
  RUNNEL_TRY_VOID(decoder.Finish());
  return {};
}

}  // namespace

std::unique_ptr<ltx::IndexSpool> MakeSpillingIndexSpool(fs::FileSystem& fs, fs::Path spill_path,
                                                        const fs::Ownership& ownership) {
  return std::make_unique<SpillingIndexSpool>(fs, std::move(spill_path), ownership);
}

Result<std::unique_ptr<Staging>> Staging::Open(fs::FileSystem& fs, fs::Path folder,
                                               const fs::Ownership& ownership, Logger& log) {
  RUNNEL_TRY_VOID(fs::CreateDirectoriesDurably(fs, fs::ParentDirectory(folder), folder, ownership));
  std::unique_ptr<Staging> staging(new Staging(fs, std::move(folder), ownership));
  {
    const MutexLock lock(staging->mutex_);
    RUNNEL_TRY_VOID(staging->Load(log));
  }
  return staging;
}

fs::Path Staging::PathOf(Txid txid) const {
  return folder_ / store::LtxFileName({.min = txid, .max = txid});
}

Result<void> Staging::Load(Logger& log) {
  RUNNEL_TRY(const std::vector<fs::DirectoryEntry> entries, fs_.List(folder_));
  for (const fs::DirectoryEntry& entry : entries) {
    if (fs::IsTemporaryName(entry.name)) {
      RUNNEL_TRY_VOID(fs_.Remove(folder_ / entry.name));
      continue;
    }
    const auto range = store::ParseLtxFileName(entry.name);
    if (!range || range->min != range->max) continue;  // not ours: left alone
    RUNNEL_TRY(const fs::FileInfo info, fs_.Stat(folder_ / entry.name));
    Note(range->min, info.size_bytes);
  }
  return DropTornNewest(log);
}

// Every cut was synced before it got its name, so a torn one means that the disk lost what it had
// acknowledged. Its content is in the database and is shipped anew.
Result<void> Staging::DropTornNewest(Logger& log) {
  while (!files_.empty()) {
    const Txid txid = files_.rbegin()->first;
    RUNNEL_TRY(auto file, OpenCut(txid));
    RUNNEL_TRY(const fs::FileInfo info, file->Info());
    fs::FileSource source(*file, 0, info.size_bytes);
    auto proven = Prove(source, txid);
    if (proven) return {};
    if (proven.error().code() != Errc::kCorruption) return proven;
    log.Warn("removed a damaged local file; its content will be sent again",
             {{"path", PathOf(txid).string()}, {"error", proven.error()}});
    RUNNEL_TRY_VOID(fs_.Remove(PathOf(txid)));
    Forget(files_.find(txid));
  }
  return {};
}

std::optional<StagedCut> Staging::newest() const {
  const MutexLock lock(mutex_);
  if (files_.empty()) return std::nullopt;
  return StagedCut{.txid = files_.rbegin()->first, .size_bytes = files_.rbegin()->second};
}

std::vector<StagedCut> Staging::files() const {
  const MutexLock lock(mutex_);
  std::vector<StagedCut> cuts;
  cuts.reserve(files_.size());
  for (const auto& [txid, size_bytes] : files_) {
    cuts.push_back({.txid = txid, .size_bytes = size_bytes});
  }
  return cuts;
}

std::uint64_t Staging::total_bytes() const {
  const MutexLock lock(mutex_);
  return total_bytes_;
}

Result<std::unique_ptr<fs::File>> Staging::OpenCut(Txid txid) const {
  return fs_.Open(PathOf(txid), fs::OpenMode::kRead);
}

Result<std::optional<Error>> Staging::CopyProven(Txid txid, fs::File& cut, ByteSink& to) const {
  RUNNEL_TRY(const fs::FileInfo info, cut.Info());
  fs::FileSource source(cut, 0, info.size_bytes);
  TeeSource tee(source, to);
  auto proven = Prove(tee, txid);
  if (proven) return std::nullopt;
  // A store may call its own trouble corruption.
  if (tee.sink_failure()) return Fail(*tee.sink_failure());
  Error error = std::move(proven).error().Context(PathOf(txid).string());
  if (error.code() != Errc::kCorruption) return Fail(std::move(error));
  return error;
}

Result<bool> Staging::HasNewest() const {
  const std::optional<StagedCut> cut = newest();
  if (!cut) return true;
  const auto info = fs_.Stat(PathOf(cut->txid));
  if (!info && info.error().code() != Errc::kNotFound) return Fail(info.error());
  return info.has_value();
}

Result<CutSummary> Staging::Summary(Txid txid) const {
  RUNNEL_TRY(auto file, OpenCut(txid));
  const auto read = [&]() -> Result<CutSummary> {
    std::array<std::byte, ltx::kHeaderSize> header_bytes;
    RUNNEL_TRY(const fs::FileInfo info, file->Info());
    RUNNEL_TRY(const std::size_t got, file->ReadAt(0, header_bytes));
    if (got != header_bytes.size() || info.size_bytes < ltx::kHeaderSize + ltx::kTrailerSize) {
      return Fail(Errc::kCorruption, "too short for an LTX file");
    }
    RUNNEL_TRY(const ltx::Header header, ltx::ParseHeader(header_bytes));
    std::array<std::byte, ltx::kTrailerSize> trailer_bytes;
    RUNNEL_TRY(const std::size_t trailer_got,
               file->ReadAt(info.size_bytes - ltx::kTrailerSize, trailer_bytes));
    if (trailer_got != trailer_bytes.size()) return Fail(Errc::kCorruption, "cut short");
    return CutSummary{
        .header = header,
        .trailer = {.post_apply_checksum = GetBigEndian<std::uint64_t>(trailer_bytes, 0),
                    .file_checksum = FileChecksum{GetBigEndian<std::uint64_t>(trailer_bytes, 8)}}};
  };
  auto summary = read();
  if (!summary) return Fail(std::move(summary).error().Context(PathOf(txid).string()));
  return summary;
}

Result<StagedCut> Staging::Append(const ltx::Header& header, ltx::EncoderOptions options,
                                  const std::function<Result<void>(ltx::Encoder&)>& write_pages) {
  const std::optional<StagedCut> last = newest();
  RUNNEL_CHECK(header.min_txid == header.max_txid);
  RUNNEL_CHECK(!last || header.min_txid == Next(last->txid));
  const Txid txid = header.min_txid;
  const fs::Path temporary = fs::TemporaryPath(PathOf(txid));
  const auto write = [&]() -> Result<std::uint64_t> {
    RUNNEL_TRY(auto file, fs_.Open(temporary, fs::OpenMode::kCreate, ownership_));
    RUNNEL_TRY_VOID(file->Truncate(0));
    fs::FileSink sink(*file);
    ltx::Encoder encoder(sink, options,
                         MakeSpillingIndexSpool(fs_, fs::TemporaryPath(temporary), ownership_));
    RUNNEL_TRY_VOID(encoder.WriteHeader(header));
    RUNNEL_TRY_VOID(write_pages(encoder));
    RUNNEL_TRY(const ltx::Trailer trailer, encoder.Finish());
    (void)trailer;
    RUNNEL_TRY_VOID(sink.Flush());
    RUNNEL_TRY_VOID(file->Sync());
    return encoder.bytes_written();
  };
  auto size_bytes = write();
  if (!size_bytes) {
    (void)fs_.Remove(temporary);  // the error that counts is the first one
    return Fail(std::move(size_bytes).error().Context(temporary.string()));
  }
  return Publish(txid, *size_bytes);
}

Result<void> Staging::Adopt(Txid txid, ByteSource& source) {
  const fs::Path temporary = fs::TemporaryPath(PathOf(txid));
  std::uint64_t size_bytes = 0;
  {
    RUNNEL_TRY(auto file, fs_.Open(temporary, fs::OpenMode::kCreate, ownership_));
    RUNNEL_TRY_VOID(file->Truncate(0));
    Bytes buffer(64U << 10);
    for (;;) {
      RUNNEL_TRY(const std::size_t got, source.Read(buffer));
      if (got == 0) break;
      RUNNEL_TRY_VOID(file->WriteAt(size_bytes, ByteView(buffer).first(got)));
      size_bytes += got;
    }
    RUNNEL_TRY_VOID(file->Sync());
  }
  RUNNEL_TRY(const StagedCut cut, Publish(txid, size_bytes));
  (void)cut;
  return {};
}

Result<StagedCut> Staging::Publish(Txid txid, std::uint64_t size_bytes) {
  const fs::Path temporary = fs::TemporaryPath(PathOf(txid));
  RUNNEL_TRY_VOID(fs_.Rename(temporary, PathOf(txid)));
  RUNNEL_TRY_VOID(fs_.SyncDirectory(folder_));
  const MutexLock lock(mutex_);
  Note(txid, size_bytes);
  return StagedCut{.txid = txid, .size_bytes = size_bytes};
}

void Staging::Note(Txid txid, std::uint64_t size_bytes) {
  if (files_.emplace(txid, size_bytes).second) total_bytes_ += size_bytes;
}

Staging::Files::iterator Staging::Forget(Files::iterator at) {
  total_bytes_ -= at->second;
  return files_.erase(at);
}

Staging::Pin& Staging::Pin::operator=(Pin&& other) noexcept {
  if (this != &other) {
    Release();
    staging_ = std::exchange(other.staging_, nullptr);
    at_ = other.at_;
  }
  return *this;
}

void Staging::Pin::Release() {
  if (staging_ == nullptr) return;
  const MutexLock lock(staging_->mutex_);
  staging_->pins_.erase(at_);
  staging_ = nullptr;
}

Staging::Pin Staging::PinFrom(Txid first) {
  const MutexLock lock(mutex_);
  return {*this, pins_.insert(first)};
}

Result<void> Staging::Prune(Txid last) {
  std::vector<StagedCut> victims;
  {
    const MutexLock lock(mutex_);
    if (files_.empty()) return {};
    Txid end = std::min(Next(last), files_.rbegin()->first);
    if (!pins_.empty()) end = std::min(end, *pins_.begin());
    for (auto it = files_.begin(); it != files_.end() && it->first < end;) {
      victims.push_back({.txid = it->first, .size_bytes = it->second});
      it = Forget(it);  // first, so that nobody pins what is about to go
    }
  }
  for (auto it = victims.begin(); it != victims.end(); ++it) {
    auto removed = fs_.Remove(PathOf(it->txid));
    if (removed || removed.error().code() == Errc::kNotFound) continue;
    // Still there, and to be tried again: a later one that is removed would leave a hole.
    const MutexLock lock(mutex_);
    for (; it != victims.end(); ++it) Note(it->txid, it->size_bytes);
    return removed;
  }
  return {};
}

Result<void> Staging::Clear() {
  std::vector<StagedCut> all = files();
  for (const StagedCut& cut : all) {
    auto removed = fs_.Remove(PathOf(cut.txid));
    if (!removed && removed.error().code() != Errc::kNotFound) return removed;
    const MutexLock lock(mutex_);
    if (const auto at = files_.find(cut.txid); at != files_.end()) Forget(at);
  }
  return fs_.SyncDirectory(folder_);
}

}  // namespace runnel::capture
