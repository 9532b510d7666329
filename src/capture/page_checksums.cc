#include "capture/page_checksums.h"

#include <algorithm>
#include <array>

#include "base/hash64.h"

namespace runnel::capture {
namespace {

constexpr std::string_view kMagic = "RNLPGS01";
constexpr std::size_t kHeaderSize = 4096;
constexpr std::size_t kHeaderUsed = 40;  // then the hash of these
constexpr std::size_t kEntrySize = 8;
constexpr std::size_t kWindowEntries = 512;

std::uint64_t EntryOf(PageNo page_no) { return ToInt(page_no) - 1; }
std::uint64_t OffsetOf(std::uint64_t entry) { return kHeaderSize + entry * kEntrySize; }

}  // namespace

Result<PageChecksums> PageChecksums::Create(fs::FileSystem& fs, const fs::Path& path,
                                            const fs::Ownership& ownership,
                                            std::uint32_t page_size) {
  RUNNEL_CHECK(IsValidPageSize(page_size));
  RUNNEL_TRY(auto file, fs.Open(path, fs::OpenMode::kCreate, ownership));
  // First the header that names no txid: the old one must not describe the new array.
  RUNNEL_TRY_VOID(file->Truncate(0));
  RUNNEL_TRY(const fs::FileInfo info, file->Info());
  PageChecksums checksums(fs, path, std::move(file), info.identity, {.page_size = page_size});
  RUNNEL_TRY_VOID(checksums.WriteHeader(checksums.base_));
  RUNNEL_TRY_VOID(checksums.file_->Sync());
  return checksums;
}

Result<std::optional<PageChecksums>> PageChecksums::Open(fs::FileSystem& fs, const fs::Path& path) {
  auto file = fs.Open(path, fs::OpenMode::kReadWrite);
  if (!file) {
    if (file.error().code() == Errc::kNotFound) return std::nullopt;
    return Fail(std::move(file).error());
  }
  std::array<std::byte, kHeaderUsed + 8> header;
  RUNNEL_TRY(const std::size_t got, (*file)->ReadAt(0, header));
  if (got != header.size()) return std::nullopt;
  if (AsText(ByteView(header).first(6)) != kMagic.substr(0, 6)) return std::nullopt;
  if (AsText(ByteView(header).first(kMagic.size())) != kMagic) {
    return Fail(Errc::kUnsupported,
                path.string() +
                    ": written by a newer version of Runnel: start that version, or "
                    "move the file away");
  }
  if (GetLittleEndian<std::uint64_t>(header, kHeaderUsed) !=
      Hash64(ByteView(header).first(kHeaderUsed))) {
    return std::nullopt;
  }
  const ChecksumBase base{.txid = Txid{GetLittleEndian<std::uint64_t>(header, 16)},
                          .checksum = DatabaseChecksum{GetLittleEndian<std::uint64_t>(header, 24)},
                          .page_size = GetLittleEndian<std::uint32_t>(header, 8),
                          .commit_pages = GetLittleEndian<std::uint32_t>(header, 12)};
  if (!IsValidPageSize(base.page_size)) return std::nullopt;
  RUNNEL_TRY(const fs::FileInfo info, (*file)->Info());
  return PageChecksums(fs, path, std::move(*file), info.identity, base);
}

Result<std::unique_ptr<fs::File>> PageChecksums::OpenAgain(fs::OpenMode mode) const {
  auto file = fs_->Open(path_, mode);
  if (file) {
    RUNNEL_TRY(const fs::FileInfo info, (*file)->Info());
    if (info.identity == identity_) return file;
  } else if (file.error().code() != Errc::kNotFound) {
    return file;
  }
  return Fail(Errc::kPreconditionFailed, path_ + ": removed or replaced while it was in use");
}

// A cut that reads the array must not fail because it cannot be written.
Result<fs::File*> PageChecksums::FileForReading() {
  if (!file_) {
    RUNNEL_TRY(file_, OpenAgain(fs::OpenMode::kRead));
    mode_ = fs::OpenMode::kRead;
  }
  return file_.get();
}

Result<fs::File*> PageChecksums::FileForWriting() {
  if (!file_ || mode_ == fs::OpenMode::kRead) {
    RUNNEL_TRY(file_, OpenAgain(fs::OpenMode::kReadWrite));
    mode_ = fs::OpenMode::kReadWrite;
  }
  return file_.get();
}

Result<std::uint64_t> PageChecksums::Get(PageNo page_no) {
  RUNNEL_CHECK(page_no != PageNo{0});
  const std::uint64_t entry = EntryOf(page_no);
  RUNNEL_TRY_VOID(LoadWindow(entry - entry % kWindowEntries));
  return window_[entry - window_first_];
}

Result<void> PageChecksums::Set(PageNo page_no, std::uint64_t checksum) {
  RUNNEL_CHECK(page_no != PageNo{0});
  const std::uint64_t entry = EntryOf(page_no);
  RUNNEL_TRY_VOID(LoadWindow(entry - entry % kWindowEntries));
  const std::size_t index = entry - window_first_;
  window_[index] = checksum;
  dirty_begin_ = dirty_begin_ == dirty_end_ ? index : std::min(dirty_begin_, index);
  dirty_end_ = std::max(dirty_end_, index + 1);
  return {};
}

Result<void> PageChecksums::Truncate(std::uint32_t commit_pages) {
  RUNNEL_TRY_VOID(StoreWindow());
  window_.clear();
  RUNNEL_TRY(fs::File * file, FileForWriting());
  RUNNEL_TRY(const fs::FileInfo info, file->Info());
  const std::uint64_t size = OffsetOf(commit_pages);
  if (info.size_bytes > size) RUNNEL_TRY_VOID(file->Truncate(size));
  return {};
}

Result<std::uint64_t> PageChecksums::Sum(PageNo first, PageNo last) {
  std::uint64_t sum = 0;
  for (std::uint64_t page = ToInt(first); page <= ToInt(last); ++page) {
    RUNNEL_TRY(const std::uint64_t checksum, Get(PageNo{static_cast<std::uint32_t>(page)}));
    sum += checksum;
  }
  return sum;
}

Result<void> PageChecksums::Checkpoint(const ChecksumBase& base) {
  RUNNEL_TRY_VOID(StoreWindow());
  RUNNEL_TRY(fs::File * file, FileForWriting());
  RUNNEL_TRY_VOID(file->Sync());
  RUNNEL_TRY_VOID(WriteHeader(base));
  RUNNEL_TRY_VOID(file->Sync());
  base_ = base;  // not before: what is asked for again has to be done again
  return {};
}

Result<void> PageChecksums::Rest() {
  RUNNEL_TRY_VOID(StoreWindow());
  std::vector<std::uint64_t>().swap(window_);
  file_.reset();
  return {};
}

Result<void> PageChecksums::LoadWindow(std::uint64_t first_entry) {
  if (!window_.empty() && window_first_ == first_entry) return {};
  RUNNEL_TRY_VOID(StoreWindow());
  std::array<std::byte, kWindowEntries * kEntrySize> bytes{};
  RUNNEL_TRY(fs::File * file, FileForReading());
  RUNNEL_TRY(const std::size_t got, file->ReadAt(OffsetOf(first_entry), bytes));
  // A torn entry at the end of the file is one that is about to be redone.
  const std::size_t entries = got / kEntrySize;
  window_.assign(kWindowEntries, 0);
  for (std::size_t i = 0; i < entries; ++i) {
    window_[i] = GetLittleEndian<std::uint64_t>(bytes, i * kEntrySize);
  }
  window_first_ = first_entry;
  return {};
}

Result<void> PageChecksums::StoreWindow() {
  if (dirty_begin_ == dirty_end_) return {};
  RUNNEL_TRY(fs::File * file, FileForWriting());
  Bytes bytes((dirty_end_ - dirty_begin_) * kEntrySize);
  for (std::size_t i = dirty_begin_; i < dirty_end_; ++i) {
    PutLittleEndian(MutableBytes(bytes), (i - dirty_begin_) * kEntrySize, window_[i]);
  }
  RUNNEL_TRY_VOID(file->WriteAt(OffsetOf(window_first_ + dirty_begin_), bytes));
  dirty_begin_ = dirty_end_ = 0;
  return {};
}

Result<void> PageChecksums::WriteHeader(const ChecksumBase& base) {
  Bytes header(kHeaderUsed + 8);
  std::ranges::copy(AsBytes(kMagic), header.begin());
  PutLittleEndian(MutableBytes(header), 8, base.page_size);
  PutLittleEndian(MutableBytes(header), 12, base.commit_pages);
  PutLittleEndian(MutableBytes(header), 16, ToInt(base.txid));
  PutLittleEndian(MutableBytes(header), 24, ToInt(base.checksum));
  PutLittleEndian(MutableBytes(header), kHeaderUsed, Hash64(ByteView(header).first(kHeaderUsed)));
  RUNNEL_TRY(fs::File * file, FileForWriting());
  return file->WriteAt(0, header);
}

}  // namespace runnel::capture
