// The checksum of every page of the database as of one txid, 8 bytes a page, in a file.
//
// With it a lost continuity costs a scan and the pages that differ, not a full copy; and each cut
// knows the database checksum after it without reading the database.
//
//   (1) The header names a base txid and the database checksum there. The array may be ahead of
//       it: it changes only for a cut whose LTX file is durable, so that applying the LTX files
//       after the base again brings it to the newest one, whatever a crash has left (idempotent).
//   (2) Checkpoint() moves the base. LTX files after the base must not be deleted.
//   (3) The file is read and written, never mapped: a full disk under a map kills the process.
//   (4) After Rest() it is closed, and opened again by whatever needs it. One that was removed or
//       replaced meanwhile fails that with kPreconditionFailed: the array is lost.
//
// The layout is in docs/formats/state.md.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "fs/file_system.h"

namespace runnel::capture {

struct ChecksumBase {
  Txid txid{};
  DatabaseChecksum checksum{};
  std::uint32_t page_size = 0;
  std::uint32_t commit_pages = 0;
};

// One thread at a time.
class PageChecksums {
 public:
  // An empty array: base txid 0, no page. Replaces a file that is there.
  static Result<PageChecksums> Create(fs::FileSystem& fs, const fs::Path& path,
                                      const fs::Ownership& ownership, std::uint32_t page_size);

  // Nothing if there is no file, or its header is damaged; kUnsupported if a newer Runnel wrote it.
  static Result<std::optional<PageChecksums>> Open(fs::FileSystem& fs, const fs::Path& path);

  PageChecksums(PageChecksums&&) noexcept = default;
  PageChecksums& operator=(PageChecksums&&) noexcept = default;

  const ChecksumBase& base() const { return base_; }

  // 0 for a page that is not in the database.
  Result<std::uint64_t> Get(PageNo page_no);
  Result<void> Set(PageNo page_no, std::uint64_t checksum);

  // Drops every page past `commit_pages`.
  Result<void> Truncate(std::uint32_t commit_pages);

  // The sum over pages `first`..`last`; reads 8 bytes a page.
  Result<std::uint64_t> Sum(PageNo first, PageNo last);

  // Makes the array durable and `base` what it stands for. Syncs.
  Result<void> Checkpoint(const ChecksumBase& base);

  // Writes what is not written yet, and gives back descriptor and memory. After a failure all is as
  // before.
  Result<void> Rest();

 private:
  PageChecksums(fs::FileSystem& fs, const fs::Path& path, std::unique_ptr<fs::File> file,
                const fs::FileIdentity& identity, const ChecksumBase& base)
      : fs_(&fs), path_(path.native()), identity_(identity), file_(std::move(file)), base_(base) {}

  Result<fs::File*> FileForReading();
  Result<fs::File*> FileForWriting();
  Result<std::unique_ptr<fs::File>> OpenAgain(fs::OpenMode mode) const;
  Result<void> LoadWindow(std::uint64_t first_entry);
  Result<void> StoreWindow();
  Result<void> WriteHeader(const ChecksumBase& base);

  fs::FileSystem* fs_;
  std::string path_;
  fs::FileIdentity identity_;
  std::unique_ptr<fs::File> file_;                // none while it rests
  fs::OpenMode mode_ = fs::OpenMode::kReadWrite;  // of file_
  ChecksumBase base_;
  // The entries around the last one used; neighbours are what a sorted walk asks for next.
  std::vector<std::uint64_t> window_;
  std::uint64_t window_first_ = 0;
  std::size_t dirty_begin_ = 0;
  std::size_t dirty_end_ = 0;  // none: begin == end
};

}  // namespace runnel::capture
