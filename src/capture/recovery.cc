#include "capture/recovery.h"

#include <algorithm>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "fs/file_stream.h"
#include "fs/temporary.h"
#include "ltx/decoder.h"
#include "wal/format.h"

namespace runnel::capture {
namespace {

constexpr std::string_view kSegmentPrefix = "segment-";
constexpr std::string_view kSpoolPrefix = "spool-";

// Removes every segment file but those of `keep`, and what is left of spools.
Result<void> RemoveOtherSegments(fs::FileSystem& fs, const StatePaths& paths,
                                 std::span<const fs::Path> keep) {
  RUNNEL_TRY(const auto entries, fs.List(paths.runnel()));
  for (const fs::DirectoryEntry& entry : entries) {
    if (entry.name.starts_with(kSpoolPrefix))
      RUNNEL_TRY_VOID(fs.Remove(paths.runnel() / entry.name));
    if (!entry.name.starts_with(kSegmentPrefix)) continue;
    const bool kept = std::ranges::any_of(keep, [&](const fs::Path& path) {
      return entry.name.starts_with(path.filename().string());
    });
    if (!kept) RUNNEL_TRY_VOID(fs.Remove(paths.runnel() / entry.name));
  }
  return {};
}

// Of each page the newest frame.
using NewestFrames = std::map<PageNo, FrameNo>;

// Those from behind `begin` to `end`; none if one of them is not of the generation.
Result<NewestFrames> FramesBetween(fs::File& wal, FrameNo begin, FrameNo end,
                                   const wal::Salts& salts, std::uint32_t page_size) {
  NewestFrames newest;
  Bytes bytes(wal::kFrameHeaderSize);
  for (std::uint32_t i = ToInt(begin) + 1; i <= ToInt(end); ++i) {
    const FrameNo frame_no{i};
    RUNNEL_TRY(const std::size_t got, wal.ReadAt(wal::FrameOffset(frame_no, page_size), bytes));
    if (got != bytes.size()) return NewestFrames();
    const wal::FrameHeader header = wal::ParseFrameHeader(bytes);
    if (header.salts != salts) return NewestFrames();
    newest[header.page_no] = frame_no;
  }
  return newest;
}

// The cut has the pages of `frames`, but for those that it cut off, as they are in the WAL.
Result<bool> HasPagesOf(fs::File& cut, fs::File& wal, NewestFrames frames) {
  RUNNEL_TRY(const fs::FileInfo info, cut.Info());
  fs::FileSource source(cut, 0, info.size_bytes);
  ltx::Decoder decoder(source);
  RUNNEL_TRY(const ltx::Header header, decoder.ReadHeader());
  frames.erase(frames.upper_bound(PageNo{header.commit_pages}), frames.end());
  Bytes page(header.page_size);
  Bytes in_wal(header.page_size);
  while (!frames.empty()) {
    RUNNEL_TRY(const auto entry, decoder.ReadPage(page));
    if (!entry) return false;
    const auto frame = frames.find(entry->page_no);
    if (frame == frames.end()) continue;
    const std::uint64_t offset =
        wal::FrameOffset(frame->second, header.page_size) + wal::kFrameHeaderSize;
    RUNNEL_TRY(const std::size_t got, wal.ReadAt(offset, in_wal));
    if (got != in_wal.size() || in_wal != page) return false;
    frames.erase(frame);
  }
  return true;
}

}  // namespace

Result<RecoveredSegments> RecoverSegments(fs::FileSystem& fs, const StatePaths& paths,
                                          const fs::Ownership& ownership, const History& history,
                                          const SegmentLimits& limits) {
  RUNNEL_TRY(const std::size_t swept, fs::RemoveTemporaryFiles(fs, paths.runnel()));
  (void)swept;
  RecoveredSegments recovered;
  std::vector<fs::Path> keep;
  if (history.kind == HistoryKind::kOurs && history.position) {
    const Txid first = Next(history.newest);
    RUNNEL_TRY(auto segment, Segment::Recover(fs, paths.segment(first), ownership, limits));
    if (segment && segment->start().position == *history.position &&
        segment->start().page_size == history.page_size) {
      RUNNEL_TRY(auto second, Segment::Recover(fs, paths.segment(Next(first)), ownership, limits));
      keep.push_back(paths.segment(first));
      if (second && second->start().position == segment->end().position) {
        keep.push_back(paths.segment(Next(first)));
        recovered = {.frozen = std::move(segment), .open = std::move(second)};
      } else {
        recovered.open = std::move(segment);
      }
    }
  }
  RUNNEL_TRY_VOID(RemoveOtherSegments(fs, paths, keep));
  return recovered;
}

Result<std::optional<WalPosition>> FindForeignPosition(fs::File& wal, const History& history,
                                                       const Staging& staging) {
  const std::uint32_t page_size = history.page_size;
  const std::uint64_t end_bytes = history.wal.offset_bytes + history.wal.size_bytes;
  const FrameNo begin = wal::LastFrameBefore(history.wal.offset_bytes, page_size);
  const FrameNo end = wal::LastFrameBefore(end_bytes, page_size);
  const wal::Salts salts{.salt1 = history.wal.salt1, .salt2 = history.wal.salt2};
  if (end <= begin || wal::FrameEnd(begin, page_size) != history.wal.offset_bytes ||
      wal::FrameEnd(end, page_size) != end_bytes) {
    return std::nullopt;
  }
  RUNNEL_TRY(NewestFrames frames, FramesBetween(wal, begin, end, salts, page_size));
  if (frames.empty()) return std::nullopt;
  RUNNEL_TRY(auto cut, staging.OpenCut(history.newest));
  RUNNEL_TRY(const bool has_pages, HasPagesOf(*cut, wal, std::move(frames)));
  if (!has_pages) return std::nullopt;
  Bytes last(wal::kFrameHeaderSize);
  RUNNEL_TRY(const std::size_t got, wal.ReadAt(wal::FrameOffset(end, page_size), last));
  if (got != last.size()) return std::nullopt;
  return WalPosition{
      .salts = salts, .frame = end, .checksum = wal::ParseFrameHeader(last).checksum};
}

}  // namespace runnel::capture
