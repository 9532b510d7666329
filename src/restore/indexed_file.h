// A file of a plan, walked by its index: which pages it has, and where.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "ltx/page_index.h"
#include "restore/fault.h"
#include "restore/frame_range.h"
#include "restore/survey.h"

namespace runnel::restore {

// One thread at a time. Failures are recorded as the file's.
class IndexedFile {
 public:
  // What is referred to outlives the result; `body` as in FrameRange.
  static Result<IndexedFile> Open(const Source& source, const SurveyedFile& file,
                                  std::shared_ptr<const Bytes> body, std::uint32_t page_size,
                                  FaultRecord& faults);

  // The page with the lowest number that was not passed yet; nothing at the end.
  const std::optional<ltx::IndexEntry>& next() const { return next_; }
  Result<void> Pass();

  // kCorruption if next() is larger than any page can be: before a buffer is made for it.
  Result<void> CheckSize() const;

  // Of this file, without entries.
  FrameRange NewRange() const { return {*file_, body_}; }

 private:
  IndexedFile(const Source& source, const SurveyedFile& file, std::shared_ptr<const Bytes> body,
              std::uint32_t page_size, FaultRecord& faults);

  Error Blame(Error error) const {
    return faults_->AtFile(*source_, file_->file, std::move(error));
  }

  const Source* source_;
  const SurveyedFile* file_;
  std::shared_ptr<const Bytes> body_;
  std::uint32_t page_size_;
  FaultRecord* faults_;
  std::unique_ptr<ltx::FileReader> reader_;
  std::optional<ltx::PageIndexCursor> cursor_;
  std::optional<ltx::IndexEntry> next_;
};

}  // namespace runnel::restore
