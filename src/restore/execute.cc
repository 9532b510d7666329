#include "restore/execute.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "ltx/decoder.h"
#include "restore/page_copier.h"
#include "restore/parallel.h"
#include "restore/progress.h"
#include "restore/worker_pool.h"
#include "store/object_source.h"

namespace runnel::restore {
namespace {

// The buffers of a restore; together with what the survey keeps, the prefetched small files, the
// pieces read ahead, the indexes of files that are merged, the page map and the program itself this
// stays below 64 MiB. The regions of a merge take the place of tasks.
constexpr std::size_t kThreadBuffersBytes = 16 * 1024 * 1024;
constexpr std::size_t kTasksBytes = 16 * 1024 * 1024;
constexpr std::size_t kSurveyBodiesBytes = 8 * 1024 * 1024;
constexpr std::size_t kIoMaxBytes = 1024 * 1024;

constexpr int kThreadsMax = 64;

std::size_t IoBytes(int threads, std::uint64_t database_bytes) {
  // Each thread has a buffer for what it reads and one for what it writes.
  const std::size_t share = kThreadBuffersBytes / (2 * static_cast<std::size_t>(threads));
  const std::uint64_t useful = std::max<std::uint64_t>(database_bytes, kPageSizeMax);
  return static_cast<std::size_t>(std::min<std::uint64_t>({kIoMaxBytes, share, useful}));
}

// The files from the last change of the page size on. Older ones can give no page; if the newer
// ones do not hold all pages, that is found when they are copied.
void DropOtherPageSizes(std::vector<SurveyedFile>& files) {
  const std::uint32_t page_size = files.back().header.page_size;
  const auto last_other = std::find_if(files.rbegin(), files.rend(), [&](const SurveyedFile& file) {
    return file.header.page_size != page_size;
  });
  files.erase(files.begin(), last_other.base());
}

}  // namespace

Executor::Executor(fs::FileSystem& file_system, Clock& clock, ExecuteOptions options)
    : file_system_(file_system), clock_(clock), options_([&] {
        options.parallelism = std::clamp(options.parallelism, 1, kThreadsMax);
        return std::move(options);
      }()) {}

Result<Outcome> Executor::Run(const Source& source, const Plan& plan) {
  RUNNEL_CHECK(!plan.files.empty());
  if (auto free = CheckOutput(file_system_, options_.output, options_.output_options.overwrite);
      !free) {
    return Fail(faults_.AtTarget(std::move(free).error()));
  }
  RUNNEL_TRY(const Work work, Prepare(source, plan));
  auto output = OutputFile::Create(file_system_, options_.output, work.outcome.database_bytes,
                                   options_.output_options);
  if (!output) return Fail(faults_.AtTarget(std::move(output).error()));
  RUNNEL_TRY_VOID(CopyAndProve(source, work, **output));
  if (options_.check) {
    Announce(RestoreStage::kChecking, work);
    if (auto checked = options_.check((*output)->temp_path()); !checked) {
      return Fail(faults_.AtSource(std::move(checked).error()));
    }
  }
  Announce(RestoreStage::kSyncing, work);
  if (options_.stop.stop_requested()) return Fail(Errc::kCancelled, "cancelled");
  if (auto published = (*output)->Publish(); !published) {
    return Fail(faults_.AtTarget(std::move(published).error()));
  }
  return work.outcome;
}

Result<Executor::Work> Executor::Prepare(const Source& source, const Plan& plan) {
  const SurveyOptions survey{.parallelism = options_.parallelism,
                             .bodies_max_bytes = kSurveyBodiesBytes};
  Work work;
  RUNNEL_TRY(work.files, SurveyFiles(source, plan.files, survey, options_.stop, faults_));
  RUNNEL_TRY(const auto broken, JudgeChain(work.files));
  if (broken) {
    work.outcome.break_after = work.files[*broken - 1].file.range.max;
    if (options_.chain_policy == ChainPolicy::kUpToBreak) work.files.resize(*broken);
  }
  DropOtherPageSizes(work.files);
  const SurveyedFile& newest = work.files.back();
  work.outcome.txid = newest.file.range.max;
  work.outcome.timestamp = newest.header.timestamp;
  work.outcome.page_size = newest.header.page_size;
  work.outcome.database_bytes = std::uint64_t{newest.header.commit_pages} * newest.header.page_size;
  const bool provable = newest.header.chain && options_.chain_policy != ChainPolicy::kIgnore;
  work.outcome.proof = provable ? Proof::kChain : Proof::kFileChecksums;
  return work;
}

// The index of the file at which the chain breaks, if the policy does not forbid to go on.
Result<std::optional<std::size_t>> Executor::JudgeChain(const std::vector<SurveyedFile>& files) {
  const auto broken = FindChainBreak(files);
  if (!broken || options_.chain_policy != ChainPolicy::kStrict) return broken;
  return Fail(faults_.AtSource(
      Error(Errc::kCorruption,
            fmt::format("the chain breaks at txid {}: it was not made from the database that txid "
                        "{} left, which is the last good one",
                        FormatTxid(files[*broken].file.range.min),
                        FormatTxid(files[*broken - 1].file.range.max)))));
}

Result<void> Executor::CopyAndProve(const Source& source, const Work& work, OutputFile& output) {
  DatabaseWriter writer(output, faults_, work.outcome.page_size,
                        work.files.back().header.commit_pages);
  ProgressReporter reporter(clock_, options_.on_progress);
  const PageCopier* copier_so_far = nullptr;
  const auto progress = [&] {
    return RestoreProgress{.done_bytes = writer.written_bytes(),
                           .total_bytes = work.outcome.database_bytes,
                           .done_files = copier_so_far == nullptr ? 0 : copier_so_far->files_done(),
                           .total_files = work.files.size()};
  };
  const CopyOptions copy{.io_bytes = IoBytes(options_.parallelism, work.outcome.database_bytes),
                         .parallelism = options_.parallelism,
                         .proof = work.outcome.proof};
  std::optional<PageCopier> copier;
  {
    WorkerPool pool(options_.parallelism, kTasksBytes, options_.stop,
                    [&] { reporter.IfDue(progress); });
    copier.emplace(source, work.files, writer, pool, faults_, copy);
    copier_so_far = &*copier;
    reporter.Always(progress());
    if (auto copied = copier->Copy(); !copied) {
      return Fail(ExplainDamage(source, work, std::move(copied).error()));
    }
  }
  if (work.outcome.proof == Proof::kChain) {
    const ltx::Header& newest = work.files.back().header;
    if (writer.checksum() != newest.chain->after) {
      return Fail(ExplainDamage(
          source, work,
          faults_.AtSource(Error(Errc::kCorruption,
                                 fmt::format("the pages do not add up to the checksum of txid {}",
                                             FormatTxid(newest.max_txid))))));
    }
  }
  Announce(RestoreStage::kCopying, work);
  return {};
}

// With the figures of the end: there are none of the other stages.
void Executor::Announce(RestoreStage stage, const Work& work) const {
  if (!options_.on_progress) return;
  options_.on_progress({.stage = stage,
                        .done_bytes = work.outcome.database_bytes,
                        .total_bytes = work.outcome.database_bytes,
                        .done_files = work.files.size(),
                        .total_files = work.files.size()});
}

// Pages that do not fit together tell nothing of the file they came from; reading all files does.
Error Executor::ExplainDamage(const Source& source, const Work& work, Error error) {
  const Fault fault = faults_.Get(error);
  if (error.code() != Errc::kCorruption || fault.place != FaultPlace::kSource || fault.file) {
    return error;
  }
  Announce(RestoreStage::kLocating, work);
  auto verified = ParallelFor(
      work.files.size(), std::min(options_.parallelism, 8), options_.stop,
      [&](std::size_t i) -> Result<void> {
        auto proven = VerifyFile(source, work.files[i].file);
        if (proven) return {};
        if (proven.error().code() != Errc::kCorruption) return proven;
        return Fail(faults_.Blame(source, work.files[i].file, std::move(proven).error()));
      });
  if (verified || verified.error().code() != Errc::kCorruption) return error;
  return std::move(verified).error().Context(error.message());
}

Result<void> VerifyFile(const Source& source, const LtxFile& file) {
  store::ObjectSource bytes(*source.store, source.KeyOf(file));
  ltx::Decoder decoder(bytes);
  RUNNEL_TRY(const ltx::Header header, decoder.ReadHeader());
  if (header.min_txid != file.range.min || header.max_txid != file.range.max) {
    return Fail(Errc::kCorruption, "the header's txids are not those of the name");
  }
  RUNNEL_TRY_VOID(decoder.Finish());
  return {};
}

}  // namespace runnel::restore
