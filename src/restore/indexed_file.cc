#include "restore/indexed_file.h"

#include <fmt/format.h>

#include "restore/object_reader.h"

namespace runnel::restore {
namespace {

// No page frame is longer: LZ4 adds at most a byte in 255 and some headers.
std::uint64_t FrameMaxBytes(std::uint32_t page_size) { return 2 * std::uint64_t{page_size} + 256; }

}  // namespace

IndexedFile::IndexedFile(const Source& source, const SurveyedFile& file,
                         std::shared_ptr<const Bytes> body, std::uint32_t page_size,
                         FaultRecord& faults)
    : source_(&source),
      file_(&file),
      body_(std::move(body)),
      page_size_(page_size),
      faults_(&faults) {
  if (body_ != nullptr) {
    reader_ = std::make_unique<SpanReader>(*body_);
  } else {
    reader_ = std::make_unique<ObjectReader>(*source.store, source.KeyOf(file.file),
                                             file.file.size_bytes);
  }
}

Result<IndexedFile> IndexedFile::Open(const Source& source, const SurveyedFile& file,
                                      std::shared_ptr<const Bytes> body, std::uint32_t page_size,
                                      FaultRecord& faults) {
  IndexedFile opened(source, file, std::move(body), page_size, faults);
  auto cursor = ltx::PageIndexCursor::Open(*opened.reader_, page_size);
  if (!cursor) return Fail(opened.Blame(std::move(cursor).error()));
  opened.cursor_.emplace(*std::move(cursor));
  RUNNEL_TRY_VOID(opened.Pass());
  return opened;
}

Result<void> IndexedFile::Pass() {
  auto entry = cursor_->Next();
  if (!entry) return Fail(Blame(std::move(entry).error()));
  next_ = *entry;
  return {};
}

Result<void> IndexedFile::CheckSize() const {
  if (next_->size_bytes <= FrameMaxBytes(page_size_)) return {};
  return Fail(Blame(Error(
      Errc::kCorruption, fmt::format("the frame of page {} has {} bytes, which no page of {} bytes "
                                     "needs",
                                     ToInt(next_->page_no), next_->size_bytes, page_size_))));
}

}  // namespace runnel::restore
