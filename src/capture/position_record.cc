#include "capture/position_record.h"

#include <algorithm>
#include <array>

#include "base/hash64.h"

namespace runnel::capture {
namespace {

constexpr std::string_view kMagic = "RNLPOS01";
constexpr std::size_t kHashOffset = 56;
constexpr std::size_t kRecordSize = 64;

}  // namespace

Result<void> WritePositionRecord(fs::FileSystem& fs, const fs::Path& path,
                                 const fs::Ownership& ownership, const PositionRecord& record) {
  std::array<std::byte, kRecordSize> bytes{};
  std::ranges::copy(AsBytes(kMagic), bytes.begin());
  PutLittleEndian(MutableBytes(bytes), 8, ToInt(record.txid));
  PutLittleEndian(MutableBytes(bytes), 16, ToInt(record.cut_checksum));
  PutLittleEndian(MutableBytes(bytes), 24, record.commit_pages);
  PutWalPosition(bytes, 28, record.position);
  PutLittleEndian(MutableBytes(bytes), kHashOffset, Hash64(ByteView(bytes).first(kHashOffset)));
  RUNNEL_TRY(auto file, fs.Open(path, fs::OpenMode::kCreate, ownership));
  return file->WriteAt(0, bytes);
}

Result<std::optional<PositionRecord>> ReadPositionRecord(fs::FileSystem& fs, const fs::Path& path) {
  auto file = fs.Open(path, fs::OpenMode::kRead);
  if (!file) {
    if (file.error().code() == Errc::kNotFound) return std::nullopt;
    return Fail(std::move(file).error());
  }
  std::array<std::byte, kRecordSize> bytes;
  RUNNEL_TRY(const std::size_t got, (*file)->ReadAt(0, bytes));
  if (got != bytes.size() || AsText(ByteView(bytes).first(kMagic.size())) != kMagic ||
      GetLittleEndian<std::uint64_t>(bytes, kHashOffset) !=
          Hash64(ByteView(bytes).first(kHashOffset))) {
    return std::nullopt;
  }
  return PositionRecord{.txid = Txid{GetLittleEndian<std::uint64_t>(bytes, 8)},
                        .cut_checksum = FileChecksum{GetLittleEndian<std::uint64_t>(bytes, 16)},
                        .commit_pages = GetLittleEndian<std::uint32_t>(bytes, 24),
                        .position = GetWalPosition(bytes, 28)};
}

}  // namespace runnel::capture
