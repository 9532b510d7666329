// Reads the page index at the end of an LTX file without reading the pages.
//
// The index is walked in windows, so a file of any size costs the same memory.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"
#include "ltx/format.h"

namespace runnel::ltx {

// Random access to the bytes of one file, whose size is known.
class FileReader {
 public:
  virtual ~FileReader() = default;
  // Fills all of `out` from `offset`, or fails (kCorruption past the end).
  virtual Result<void> ReadAt(std::uint64_t offset, MutableBytes out) = 0;
  virtual std::uint64_t size_bytes() const = 0;
};

// Walks the index of one file in ascending page order. Every entry is checked: order, bounds,
// frames that touch each other and fill the page block. One thread at a time.
class PageIndexCursor {
 public:
  // Finds the index: one read of the file's tail, a second one only for a larger index. `file`
  // outlives the cursor.
  static Result<PageIndexCursor> Open(FileReader& file, std::uint32_t page_size);

  PageIndexCursor(PageIndexCursor&&) noexcept;
  PageIndexCursor& operator=(PageIndexCursor&&) noexcept;
  ~PageIndexCursor();

  // Nothing after the last entry. After a failure every later call fails with the same error.
  Result<std::optional<IndexEntry>> Next();

  const Trailer& trailer() const;

 private:
  class Impl;
  explicit PageIndexCursor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace runnel::ltx
