#include "restore/page_copier.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "ltx/decoder.h"
#include "restore/object_reader.h"
#include "restore/read_ahead.h"

namespace runnel::restore {
namespace {

// Frames of superseded pages this long are read and dropped rather than split a request in two.
constexpr std::uint64_t kGapMaxBytes = 16 * 1024;

constexpr std::size_t kPiecesAhead = 8;

// The disk begins to write while pages still come, not only at the end.
constexpr std::uint64_t kSyncEveryBytes = std::uint64_t{128} << 20;

// No page frame is longer: LZ4 adds at most a byte in 255 and some headers.
std::uint64_t FrameMaxBytes(std::uint32_t page_size) { return 2 * std::uint64_t{page_size} + 256; }

}  // namespace

PageCopier::PageCopier(const Source& source, std::span<const SurveyedFile> files,
                       DatabaseWriter& writer, WorkerPool& pool, FaultRecord& faults,
                       CopyOptions options)
    : source_(source),
      files_(files),
      writer_(writer),
      pool_(pool),
      faults_(faults),
      options_(options),
      page_size_(writer.page_size()),
      range_pages_max_(std::max<std::size_t>(1, options.io_bytes / page_size_)),
      done_(files.back().header.commit_pages, page_size_),
      bodies_(source, files, pool, faults, 2 * static_cast<std::size_t>(options.parallelism)),
      buffers_(std::max<std::size_t>(options.io_bytes, page_size_)) {}

Result<void> PageCopier::Copy() {
  for (std::size_t i = files_.size(); i-- > 0 && done_.missing() > 0; ++files_done_) {
    const SurveyedFile& file = files_[i];
    RUNNEL_TRY(const auto body, bodies_.Take(i));
    if (options_.proof == Proof::kChain && file.header.chain) {
      RUNNEL_TRY_VOID(CopyByIndex(file, body));
    } else {
      RUNNEL_TRY_VOID(CopyWhole(file, body.get()));
    }
  }
  RUNNEL_TRY_VOID(pool_.Drain());
  if (done_.missing() == 0) return {};
  return Fail(faults_.AtSource(
      Error(Errc::kCorruption,
            fmt::format("{} of {} pages are in none of the files, page {} for one", done_.missing(),
                        files_.back().header.commit_pages, ToInt(done_.FirstMissing())))));
}

Result<void> PageCopier::CopyByIndex(const SurveyedFile& file, std::shared_ptr<const Bytes> body) {
  const auto blame = [&](Error error) {
    return Fail(faults_.AtFile(source_, file.file, std::move(error)));
  };
  std::unique_ptr<ltx::FileReader> reader;
  if (body != nullptr) {
    reader = std::make_unique<SpanReader>(*body);
  } else {
    reader = std::make_unique<ObjectReader>(*source_.store, source_.KeyOf(file.file),
                                            file.file.size_bytes);
  }
  auto index = ltx::PageIndexCursor::Open(*reader, page_size_);
  if (!index) return blame(std::move(index).error());
  Range range;
  while (done_.missing() > 0) {
    auto next = index->Next();
    if (!next) return blame(std::move(next).error());
    if (!*next) break;
    const ltx::IndexEntry& entry = **next;
    if (!done_.IsPage(entry.page_no) || done_.Has(entry.page_no)) continue;
    if (auto checked = CheckEntry(entry); !checked) return blame(std::move(checked).error());
    done_.Add(entry.page_no);
    if (!FitsRange(range, entry)) {
      RUNNEL_TRY_VOID(SubmitRange(file, body, std::exchange(range, {})));
    }
    range.entries.push_back(entry);
    range.pages.push_back(entry.page_no);
  }
  if (range.entries.empty()) return {};
  return SubmitRange(file, std::move(body), std::move(range));
}

// Before a buffer is made for it.
Result<void> PageCopier::CheckEntry(const ltx::IndexEntry& entry) const {
  if (entry.size_bytes <= FrameMaxBytes(page_size_)) return {};
  return Fail(Errc::kCorruption,
              fmt::format("the frame of page {} has {} bytes, which no page of {} bytes needs",
                          ToInt(entry.page_no), entry.size_bytes, page_size_));
}

bool PageCopier::FitsRange(const Range& range, const ltx::IndexEntry& entry) const {
  if (range.entries.empty()) return true;
  return range.entries.size() < range_pages_max_ &&
         entry.offset_bytes - range.end() <= kGapMaxBytes &&
         entry.offset_bytes + entry.size_bytes - range.begin() <= options_.io_bytes;
}

Result<void> PageCopier::SubmitRange(const SurveyedFile& file, std::shared_ptr<const Bytes> body,
                                     Range range) {
  const std::size_t cost_bytes =
      (body != nullptr ? body->size() : static_cast<std::size_t>(range.end() - range.begin())) +
      range.entries.size() * page_size_;
  return pool_.Submit(
      cost_bytes, [this, &file, body = std::move(body), range = std::move(range)](
                      Scratch& scratch) { return CopyRange(file, body.get(), range, scratch); });
}

// On a thread of the pool.
Result<void> PageCopier::CopyRange(const SurveyedFile& file, const Bytes* body, const Range& range,
                                   Scratch& scratch) {
  const auto size_bytes = static_cast<std::size_t>(range.end() - range.begin());
  ByteView input;
  if (body != nullptr) {
    input = ByteView(*body).subspan(static_cast<std::size_t>(range.begin()), size_bytes);
  } else {
    const MutableBytes buffer = Scratch::Take(scratch.input, size_bytes);
    ObjectReader reader(*source_.store, source_.KeyOf(file.file), file.file.size_bytes);
    if (auto read = reader.ReadAt(range.begin(), buffer); !read) {
      return Fail(faults_.AtFile(source_, file.file, std::move(read).error()));
    }
    input = buffer;
  }
  const MutableBytes output = Scratch::Take(scratch.output, range.entries.size() * page_size_);
  for (std::size_t i = 0; i < range.entries.size(); ++i) {
    const ltx::IndexEntry& entry = range.entries[i];
    const ByteView frame =
        input.subspan(static_cast<std::size_t>(entry.offset_bytes - range.begin()),
                      static_cast<std::size_t>(entry.size_bytes));
    auto decoded = ltx::DecodePageFrame(entry, frame, output.subspan(i * page_size_, page_size_));
    if (!decoded) return Fail(faults_.AtFile(source_, file.file, std::move(decoded).error()));
  }
  return writer_.Write(range.pages, output);
}

Result<void> PageCopier::CopyWhole(const SurveyedFile& file, const Bytes* body) {
  if (body != nullptr) {
    SpanSource bytes(*body);
    return DecodeAll(file, bytes, [&](Error error) {
      return faults_.AtFile(source_, file.file, std::move(error));
    });
  }
  ReadAheadSource bytes(source_, file.file, pool_, buffers_, faults_, kPiecesAhead);
  return DecodeAll(file, bytes, [&](Error error) {
    // What the stream could not read is blamed already.
    return bytes.failed() ? std::move(error) : faults_.AtFile(source_, file.file, std::move(error));
  });
}

Result<void> PageCopier::DecodeAll(const SurveyedFile& file, ByteSource& bytes,
                                   const std::function<Error(Error)>& blame) {
  ltx::Decoder decoder(bytes);
  auto header = decoder.ReadHeader();
  if (!header) return Fail(blame(std::move(header).error()));
  if (*header != file.header) {
    return Fail(blame(Error(Errc::kCorruption, "the header changed while we were reading")));
  }
  std::vector<PageNo> numbers;
  Bytes pages = buffers_.Take();
  while (true) {
    const std::size_t used_bytes = numbers.size() * page_size_;
    auto entry = decoder.ReadPage(MutableBytes(pages).subspan(used_bytes, page_size_));
    if (!entry) return Fail(blame(std::move(entry).error()));
    if (!*entry) break;
    const PageNo page_no = (*entry)->page_no;
    if (!done_.IsPage(page_no) || done_.Has(page_no)) continue;
    done_.Add(page_no);
    numbers.push_back(page_no);
    if (numbers.size() == range_pages_max_) {
      RUNNEL_TRY_VOID(SubmitBatch(std::exchange(numbers, {}), std::move(pages)));
      pages = buffers_.Take();
    }
  }
  if (auto finished = decoder.Finish(); !finished) {
    return Fail(blame(std::move(finished).error()));
  }
  if (numbers.empty()) {
    buffers_.Return(std::move(pages));
    return {};
  }
  return SubmitBatch(std::move(numbers), std::move(pages));
}

Result<void> PageCopier::SubmitBatch(std::vector<PageNo> numbers, Bytes pages) {
  const std::size_t cost_bytes = pages.size();
  RUNNEL_TRY_VOID(SyncNowAndThen(numbers.size()));
  return pool_.Submit(
      cost_bytes,
      [this, numbers = std::move(numbers),
       pages = std::move(pages)](Scratch&) mutable -> Result<void> {
        RUNNEL_TRY_VOID(writer_.Write(numbers, ByteView(pages).first(numbers.size() * page_size_)));
        buffers_.Return(std::move(pages));
        return {};
      });
}

Result<void> PageCopier::SyncNowAndThen(std::size_t pages) {
  unsynced_bytes_ += pages * page_size_;
  if (unsynced_bytes_ < kSyncEveryBytes) return {};
  unsynced_bytes_ = 0;
  return pool_.Submit(0, [this](Scratch&) { return writer_.Sync(); });
}

}  // namespace runnel::restore
