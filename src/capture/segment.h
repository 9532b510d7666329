// The open segment: what was captured since the last cut, the newest copy of each page.
//
// A WAL may restart, and so lose its frames, many times between two cuts. Before it may, what was
// captured from it has to be in a segment's file; a cut then turns the segment into one LTX file.
//
//   (1) Pages added since the last Commit() do not count: after a failed capture the same frames
//       are added again, and only a committed segment can be cut.
//   (2) After Flush() a crash of this process loses nothing that was committed: Recover() finds
//       it. A power loss may (nothing is synced here); what is lost is in the database, and the
//       hash of each flushed stretch, which rests on that of the stretch before, shows it.
//   (3) Small segments never touch the disk. Memory is bounded by the two limits below.
//
// The file's layout is in docs/formats/state.md.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/hash64.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "base/result.h"
#include "capture/page_table.h"
#include "capture/position.h"
#include "fs/file_system.h"
#include "fs/stored_path.h"

namespace runnel::capture {

struct SegmentLimits {
  std::size_t buffer_bytes = 8U << 20;    // content kept in memory
  std::size_t table_entries = 64U << 10;  // pages known by number in memory
};

// What a segment begins with, and what it holds once committed.
struct SegmentStart {
  std::uint32_t page_size = 0;
  Txid txid{};  // the cut that this segment is to become
  WalPosition position;
  std::uint32_t commit_pages = 0;  // size of the database at `position`
};

struct SegmentEnd {
  WalPosition position;
  std::uint32_t commit_pages = 0;
};

// One thread at a time; but once nothing is added any more, one thread may Flush() while another
// reads.
class Segment {
 public:
  // Nothing is written to `path` before the memory is full or Flush() is called. A file that is
  // there is replaced.
  Segment(fs::FileSystem& fs, fs::Path path, const fs::Ownership& ownership,
          const SegmentStart& start, const SegmentLimits& limits);
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  // The committed part of a segment that an earlier process flushed. Nothing if there is no file,
  // or nothing whole in it; kUnsupported if a newer Runnel wrote it.
  static Result<std::unique_ptr<Segment>> Recover(fs::FileSystem& fs, const fs::Path& path,
                                                  const fs::Ownership& ownership,
                                                  const SegmentLimits& limits);

  Result<void> AddPage(PageNo page_no, ByteView page);

  // Everything added so far belongs together, and brings the database to `end`.
  void Commit(const SegmentEnd& end);

  Result<void> Flush();

  bool has_pages() const { return !table_.empty(); }
  bool committed() const { return !open_tail_; }
  const SegmentStart& start() const { return start_; }
  const SegmentEnd& end() const { return end_; }
  std::uint64_t size_bytes() const;

  PageTable::Cursor Walk() const { return table_.Walk(); }
  Result<void> ReadPage(const PagePlace& place, MutableBytes page) const;

  // Removes the files. The segment is of no use afterwards.
  Result<void> Remove();

 private:
  Result<void> OpenFile() RUNNEL_REQUIRES(mutex_);
  Result<void> WriteBuffer() RUNNEL_REQUIRES(mutex_);
  std::uint64_t CommitHash(ByteView record, std::uint64_t stretch_hash) const
      RUNNEL_REQUIRES(mutex_);
  Result<bool> ReplayStretch(std::uint64_t& offset, std::uint64_t file_size)
      RUNNEL_REQUIRES(mutex_);

  fs::FileSystem& fs_;
  const fs::StoredPath path_;
  const fs::StoredPath table_path_;
  const fs::Ownership ownership_;
  const SegmentLimits limits_;
  const SegmentStart start_;

  SegmentEnd end_;
  bool open_tail_ = false;  // pages were added since the last Commit()
  PageTable table_;

  // Guards the rest: what a Flush() moves from memory to the file under a reader.
  mutable Mutex mutex_;
  bool unflushed_ RUNNEL_GUARDED_BY(mutex_) = false;  // the file does not say end_ yet
  // Records not in the file yet; starts at written_bytes_.
  Bytes buffer_ RUNNEL_GUARDED_BY(mutex_);
  // Size of the file, header included; also before it is made.
  std::uint64_t written_bytes_ RUNNEL_GUARDED_BY(mutex_);
  std::unique_ptr<fs::File> file_ RUNNEL_GUARDED_BY(mutex_);
  // Of what was written since the last commit record.
  Hasher64 stretch_hash_ RUNNEL_GUARDED_BY(mutex_);
  // Of the last commit record; at first, of the header.
  std::uint64_t last_hash_ RUNNEL_GUARDED_BY(mutex_) = 0;
};

}  // namespace runnel::capture
