#include "capture/segment.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace runnel::capture {
namespace {

constexpr std::string_view kMagic = "RNLSEG01";
constexpr std::size_t kHeaderSize = 64;
constexpr std::size_t kHeaderHashOffset = kHeaderSize - 8;
constexpr std::size_t kPageRecordHeaderSize = 8;
constexpr std::size_t kCommitRecordSize = 40;
constexpr std::size_t kCommitHashOffset = kCommitRecordSize - 8;

fs::Path TablePath(const fs::Path& path) {
  fs::Path table = path;
  table += ".index";
  return table;
}

std::array<std::byte, kHeaderSize> SerializeStart(const SegmentStart& start) {
  std::array<std::byte, kHeaderSize> bytes{};
  std::ranges::copy(AsBytes(kMagic), bytes.begin());
  PutLittleEndian(MutableBytes(bytes), 8, start.page_size);
  PutLittleEndian(MutableBytes(bytes), 12, start.commit_pages);
  PutLittleEndian(MutableBytes(bytes), 16, ToInt(start.txid));
  PutWalPosition(bytes, 24, start.position);
  PutLittleEndian(MutableBytes(bytes), kHeaderHashOffset,
                  Hash64(ByteView(bytes).first(kHeaderHashOffset)));
  return bytes;
}

std::uint64_t HeaderHash(ByteView header) {
  return GetLittleEndian<std::uint64_t>(header, kHeaderHashOffset);
}

// Nothing if the bytes are not a whole header.
Result<std::optional<SegmentStart>> ParseStart(ByteView bytes) {
  if (AsText(bytes.first(6)) != kMagic.substr(0, 6)) return std::nullopt;
  if (AsText(bytes.first(kMagic.size())) != kMagic) {
    return Fail(Errc::kUnsupported,
                "the segment was written by a newer version of Runnel: start that version, or "
                "move the file away");
  }
  if (GetLittleEndian<std::uint64_t>(bytes, kHeaderHashOffset) !=
      Hash64(bytes.first(kHeaderHashOffset))) {
    return std::nullopt;
  }
  const SegmentStart start{.page_size = GetLittleEndian<std::uint32_t>(bytes, 8),
                           .txid = Txid{GetLittleEndian<std::uint64_t>(bytes, 16)},
                           .position = GetWalPosition(bytes, 24),
                           .commit_pages = GetLittleEndian<std::uint32_t>(bytes, 12)};
  if (!IsValidPageSize(start.page_size)) return std::nullopt;
  return start;
}

}  // namespace

Segment::Segment(fs::FileSystem& fs, fs::Path path, const fs::Ownership& ownership,
                 const SegmentStart& start, const SegmentLimits& limits)
    : fs_(fs),
      path_(std::move(path)),
      table_path_(TablePath(path_)),
      ownership_(ownership),
      limits_(limits),
      start_(start),
      end_{.position = start.position, .commit_pages = start.commit_pages},
      table_(fs, table_path_, ownership, limits.table_entries),
      written_bytes_(kHeaderSize),
      last_hash_(HeaderHash(SerializeStart(start))) {
  RUNNEL_CHECK(IsValidPageSize(start.page_size));
}

Result<void> Segment::AddPage(PageNo page_no, ByteView page) {
  RUNNEL_CHECK(page_no != PageNo{0} && page.size() == start_.page_size);
  const MutexLock lock(mutex_);
  open_tail_ = true;
  unflushed_ = true;
  // A copy that has not left the memory is replaced in place: a page that is written again and
  // again between two cuts costs no room.
  if (const auto old = table_.FindInMemory(page_no); old && *old >= written_bytes_) {
    std::ranges::copy(page, buffer_.begin() + static_cast<std::ptrdiff_t>(*old - written_bytes_));
    return {};
  }
  if (buffer_.size() + kPageRecordHeaderSize + page.size() > limits_.buffer_bytes) {
    RUNNEL_TRY_VOID(WriteBuffer());
  }
  const std::size_t record = buffer_.size();
  buffer_.resize(record + kPageRecordHeaderSize);
  PutLittleEndian(MutableBytes(buffer_), record, ToInt(page_no));
  buffer_.insert(buffer_.end(), page.begin(), page.end());
  return table_.Put(
      {.page_no = page_no, .offset_bytes = written_bytes_ + record + kPageRecordHeaderSize});
}

void Segment::Commit(const SegmentEnd& end) {
  const MutexLock lock(mutex_);
  if (end.position != end_.position) unflushed_ = true;
  end_ = end;
  open_tail_ = false;
}

Result<void> Segment::Flush() {
  const MutexLock lock(mutex_);
  RUNNEL_CHECK(!open_tail_);
  if (!unflushed_) return {};
  RUNNEL_TRY_VOID(WriteBuffer());

  std::array<std::byte, kCommitRecordSize> record{};
  PutLittleEndian(MutableBytes(record), 4, end_.commit_pages);
  PutWalPosition(record, 8, end_.position);
  const std::uint64_t hash =
      CommitHash(ByteView(record).first(kCommitHashOffset), stretch_hash_.value());
  PutLittleEndian(MutableBytes(record), kCommitHashOffset, hash);
  RUNNEL_TRY_VOID(file_->WriteAt(written_bytes_, record));
  // Nothing of this before the write succeeded: it may have to be repeated.
  written_bytes_ += record.size();
  stretch_hash_.Reset();
  last_hash_ = hash;
  unflushed_ = false;
  return {};
}

// Rests on all that the file holds before it, so that a stretch that an older file of this name
// left on the disk is never taken for one of this.
std::uint64_t Segment::CommitHash(ByteView record, std::uint64_t stretch_hash) const {
  std::array<std::byte, 2 * sizeof(std::uint64_t) + kCommitHashOffset> hashed;
  PutLittleEndian(MutableBytes(hashed), 0, last_hash_);
  PutLittleEndian(MutableBytes(hashed), 8, stretch_hash);
  std::ranges::copy(record.first(kCommitHashOffset), hashed.begin() + 16);
  return Hash64(hashed);
}

std::uint64_t Segment::size_bytes() const {
  const MutexLock lock(mutex_);
  return written_bytes_ + buffer_.size();
}

Result<void> Segment::OpenFile() {
  if (file_) return {};
  RUNNEL_TRY(auto file, fs_.Open(path_, fs::OpenMode::kCreate, ownership_));
  RUNNEL_TRY_VOID(file->Truncate(0));
  RUNNEL_TRY_VOID(file->WriteAt(0, SerializeStart(start_)));
  file_ = std::move(file);
  return {};
}

Result<void> Segment::WriteBuffer() {
  RUNNEL_TRY_VOID(OpenFile());
  RUNNEL_TRY_VOID(file_->WriteAt(written_bytes_, buffer_));
  stretch_hash_.Update(buffer_);
  written_bytes_ += buffer_.size();
  buffer_.clear();
  return {};
}

Result<void> Segment::ReadPage(const PagePlace& place, MutableBytes page) const {
  RUNNEL_CHECK(page.size() == start_.page_size);
  const MutexLock lock(mutex_);
  if (place.offset_bytes >= written_bytes_) {
    const std::size_t start = place.offset_bytes - written_bytes_;
    RUNNEL_CHECK(start + page.size() <= buffer_.size());
    std::ranges::copy(ByteView(buffer_).subspan(start, page.size()), page.begin());
    return {};
  }
  RUNNEL_TRY(const std::size_t got, file_->ReadAt(place.offset_bytes, page));
  if (got != page.size()) {
    return Fail(Errc::kIo, fmt::format("{} was cut short while in use", path_.string()));
  }
  return {};
}

Result<void> Segment::Remove() {
  const MutexLock lock(mutex_);
  file_.reset();
  for (const fs::StoredPath& path : {path_, table_path_}) {
    if (auto removed = fs_.Remove(path); !removed && removed.error().code() != Errc::kNotFound) {
      return removed;
    }
  }
  return {};
}

Result<std::unique_ptr<Segment>> Segment::Recover(fs::FileSystem& fs, const fs::Path& path,
                                                  const fs::Ownership& ownership,
                                                  const SegmentLimits& limits) {
  auto file = fs.Open(path, fs::OpenMode::kReadWrite);
  if (!file) {
    if (file.error().code() == Errc::kNotFound) return nullptr;
    return Fail(std::move(file).error());
  }
  RUNNEL_TRY(const fs::FileInfo info, (*file)->Info());
  std::array<std::byte, kHeaderSize> header;
  RUNNEL_TRY(const std::size_t got, (*file)->ReadAt(0, header));
  if (got != header.size()) return nullptr;
  auto start = ParseStart(header);
  if (!start) return Fail(std::move(start).error().Context(path.string()));
  if (!*start) return nullptr;

  auto segment = std::make_unique<Segment>(fs, path, ownership, **start, limits);
  const MutexLock lock(segment->mutex_);
  segment->file_ = std::move(*file);
  std::uint64_t offset = kHeaderSize;
  for (bool whole = true; whole;) {
    RUNNEL_TRY(whole, segment->ReplayStretch(offset, info.size_bytes));
  }
  segment->written_bytes_ = offset;
  segment->open_tail_ = false;
  segment->unflushed_ = false;
  segment->stretch_hash_.Reset();
  if (segment->end_.position == start->value().position) return nullptr;
  RUNNEL_TRY_VOID(segment->file_->Truncate(offset));
  return segment;
}

// Takes over the records from `offset` up to and including the next commit record, and moves
// `offset` past it. False if they are not whole. Two passes: nothing of a torn stretch may enter
// the table.
Result<bool> Segment::ReplayStretch(std::uint64_t& offset, std::uint64_t file_size) {
  const std::size_t page_record_size = kPageRecordHeaderSize + start_.page_size;
  Bytes record(std::max(page_record_size, kCommitRecordSize));
  Hasher64 hash;
  std::uint64_t at = offset;
  for (;;) {
    if (at > file_size || file_size - at < kCommitRecordSize) return false;
    const MutableBytes head = MutableBytes(record).first(kPageRecordHeaderSize);
    RUNNEL_TRY(const std::size_t head_got, file_->ReadAt(at, head));
    if (head_got != head.size()) return false;
    const bool is_commit = GetLittleEndian<std::uint32_t>(record, 0) == 0;
    const MutableBytes whole =
        MutableBytes(record).first(is_commit ? kCommitRecordSize : page_record_size);
    RUNNEL_TRY(const std::size_t got, file_->ReadAt(at, whole));
    if (got != whole.size()) return false;
    at += whole.size();
    if (!is_commit) {
      hash.Update(whole);
      continue;
    }
    const auto said = GetLittleEndian<std::uint64_t>(record, kCommitHashOffset);
    if (said != CommitHash(whole.first(kCommitHashOffset), hash.value())) return false;
    last_hash_ = said;
    break;
  }
  end_ = {.position = GetWalPosition(record, 8),
          .commit_pages = GetLittleEndian<std::uint32_t>(record, 4)};
  for (std::uint64_t page = offset; page + kCommitRecordSize < at; page += page_record_size) {
    const MutableBytes head = MutableBytes(record).first(kPageRecordHeaderSize);
    RUNNEL_TRY(const std::size_t head_got, file_->ReadAt(page, head));
    if (head_got != head.size()) return Fail(Errc::kIo, path_.string() + " changed while read");
    RUNNEL_TRY_VOID(table_.Put({.page_no = PageNo{GetLittleEndian<std::uint32_t>(record, 0)},
                                .offset_bytes = page + kPageRecordHeaderSize}));
  }
  offset = at;
  return true;
}

}  // namespace runnel::capture
