#include "capture/recovery.h"

#include <algorithm>
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

// A page out of a whole LTX file; nothing if it is not in it.
Result<std::optional<Bytes>> PageOfCut(fs::File& file, PageNo wanted) {
  RUNNEL_TRY(const fs::FileInfo info, file.Info());
  fs::FileSource source(file, 0, info.size_bytes);
  ltx::Decoder decoder(source);
  RUNNEL_TRY(const ltx::Header header, decoder.ReadHeader());
  Bytes page(header.page_size);
  for (;;) {
    RUNNEL_TRY(const auto entry, decoder.ReadPage(page));
    if (!entry || entry->page_no > wanted) return std::nullopt;
    if (entry->page_no == wanted) return page;
  }
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
  const std::uint64_t frame_size = wal::FrameSize(history.page_size);
  const std::uint64_t end = history.wal.offset_bytes + history.wal.size_bytes;
  const FrameNo frame_no = wal::LastFrameBefore(end, history.page_size);
  if (frame_no == FrameNo{0} || wal::FrameEnd(frame_no, history.page_size) != end) {
    return std::nullopt;
  }
  Bytes frame(frame_size);
  RUNNEL_TRY(const std::size_t got, wal.ReadAt(end - frame_size, frame));
  if (got != frame.size()) return std::nullopt;
  const wal::FrameHeader header = wal::ParseFrameHeader(frame);
  if (header.salts != wal::Salts{.salt1 = history.wal.salt1, .salt2 = history.wal.salt2}) {
    return std::nullopt;
  }
  RUNNEL_TRY(auto cut, staging.OpenCut(history.newest));
  RUNNEL_TRY(const std::optional<Bytes> page, PageOfCut(*cut, header.page_no));
  if (!page || !std::ranges::equal(*page, ByteView(frame).subspan(wal::kFrameHeaderSize))) {
    return std::nullopt;
  }
  return WalPosition{.salts = header.salts, .frame = frame_no, .checksum = header.checksum};
}

}  // namespace runnel::capture
