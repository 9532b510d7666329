#include "restore/page_copier.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "ltx/chain.h"
#include "ltx/decoder.h"
#include "restore/object_reader.h"
#include "restore/read_ahead.h"

namespace runnel::restore {
namespace {

constexpr std::size_t kPiecesAhead = 8;

// Each costs some 100 KiB while it is merged, and up to as much for its content.
constexpr std::size_t kMergedFilesMax = 40;

ltx::ChainSum SumOf(std::span<const PageNo> numbers, ByteView pages) {
  const std::size_t page_size = pages.size() / numbers.size();
  ltx::ChainSum sum;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    sum.Add(ltx::PageChecksum(numbers[i], pages.subspan(i * page_size, page_size)));
  }
  return sum;
}

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
      limits_{.pages = std::max<std::size_t>(1, options.io_bytes / page_size_),
              .bytes = options.io_bytes},
      done_(writer.commit_pages(), page_size_),
      bodies_(source, files, pool, faults, 2 * static_cast<std::size_t>(options.parallelism)),
      buffers_(std::max<std::size_t>(options.io_bytes, page_size_)),
      merger_(source_, writer, pool, faults, limits_) {}

Result<void> PageCopier::Copy() {
  const std::size_t merged = CountToMerge();
  for (std::size_t i = files_.size(); i-- > merged && done_.missing() > 0; ++files_done_) {
    if (ReadsByIndex(files_[i])) {
      RUNNEL_TRY(IndexedFile file, OpenIndexed(i));
      RUNNEL_TRY_VOID(CopyByIndex(std::move(file)));
    } else {
      RUNNEL_TRY(const auto body, bodies_.Take(i));
      RUNNEL_TRY_VOID(CopyWhole(files_[i], body.get()));
    }
  }
  if (merged > 0 && done_.missing() > 0) RUNNEL_TRY_VOID(Merge(merged));
  RUNNEL_TRY_VOID(pool_.Drain());
  if (done_.missing() == 0) return {};
  return Fail(faults_.AtSource(
      Error(Errc::kCorruption,
            fmt::format("{} of {} pages are in none of the files, page {} for one", done_.missing(),
                        writer_.commit_pages(), ToInt(done_.FirstMissing())))));
}

bool PageCopier::ReadsByIndex(const SurveyedFile& file) const {
  return options_.proof == Proof::kChain && file.header.chain;
}

std::size_t PageCopier::CountToMerge() const {
  if (source_.store->capabilities().bills_requests) return 0;
  const auto whole = std::ranges::find_if_not(
      files_, [this](const SurveyedFile& file) { return ReadsByIndex(file); });
  return std::min(static_cast<std::size_t>(whole - files_.begin()), kMergedFilesMax);
}

Result<IndexedFile> PageCopier::OpenIndexed(std::size_t i) {
  RUNNEL_TRY(auto body, bodies_.Take(i));
  return IndexedFile::Open(source_, files_[i], std::move(body), page_size_, faults_);
}

Result<void> PageCopier::Merge(std::size_t count) {
  RUNNEL_TRY_VOID(pool_.Drain());  // the regions take the memory of the tasks before
  std::vector<IndexedFile> files;
  for (std::size_t i = count; i-- > 0;) {
    RUNNEL_TRY(IndexedFile file, OpenIndexed(i));
    files.push_back(std::move(file));
  }
  const std::size_t copied = files_done_;
  return merger_.Merge(std::move(files), done_,
                       [&](std::size_t through) { files_done_ = copied + through; });
}

Result<void> PageCopier::CopyByIndex(IndexedFile file) {
  FrameRange range = file.NewRange();
  while (file.next() && done_.missing() > 0) {
    const ltx::IndexEntry entry = *file.next();
    if (done_.IsPage(entry.page_no) && !done_.Has(entry.page_no)) {
      RUNNEL_TRY_VOID(file.CheckSize());
      done_.Add(entry.page_no);
      if (!range.Fits(entry, limits_)) {
        RUNNEL_TRY_VOID(SubmitRange(std::exchange(range, file.NewRange())));
      }
      range.Add(entry);
    }
    RUNNEL_TRY_VOID(file.Pass());
  }
  if (range.entries().empty()) return {};
  return SubmitRange(std::move(range));
}

Result<void> PageCopier::SubmitRange(FrameRange range) {
  const std::size_t cost_bytes =
      (range.body() != nullptr ? range.body()->size() : range.size_bytes()) +
      range.entries().size() * page_size_;
  return pool_.Submit(cost_bytes, [this, range = std::move(range)](Scratch& scratch) {
    return CopyRange(range, scratch);
  });
}

// On a thread of the pool.
Result<void> PageCopier::CopyRange(const FrameRange& range, Scratch& scratch) {
  const MutableBytes output = Scratch::Take(scratch.output, range.entries().size() * page_size_);
  ltx::ChainSum sum;
  RUNNEL_TRY_VOID(range.Decode(
      source_, faults_, scratch.input,
      [&](std::size_t i) { return output.subspan(i * page_size_, page_size_); }, sum));
  writer_.AddToChecksum(sum);
  std::vector<PageNo> numbers;
  numbers.reserve(range.entries().size());
  for (const ltx::IndexEntry& entry : range.entries()) numbers.push_back(entry.page_no);
  return writer_.Write(numbers, output);
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
    if (numbers.size() == limits_.pages) {
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
  return pool_.Submit(cost_bytes,
                      [this, numbers = std::move(numbers),
                       pages = std::move(pages)](Scratch&) mutable -> Result<void> {
                        const ByteView used = ByteView(pages).first(numbers.size() * page_size_);
                        if (options_.proof == Proof::kChain)
                          writer_.AddToChecksum(SumOf(numbers, used));
                        RUNNEL_TRY_VOID(writer_.Write(numbers, used));
                        buffers_.Return(std::move(pages));
                        return {};
                      });
}

}  // namespace runnel::restore
