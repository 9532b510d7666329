#include "replicate/merge_inputs.h"

#include <algorithm>
#include <utility>

#include "replicate/streams.h"
#include "store/object_source.h"

namespace runnel::replicate {
namespace {

// What all inputs together hold of what they have fetched.
constexpr std::size_t kFetchedTotal = std::size_t{32} << 20;
constexpr std::size_t kFetchedMin = std::size_t{64} << 10;
constexpr std::size_t kFetchedMax = std::size_t{1} << 20;

bool IsStaged(const Destination& destination, const LeveledFile& file) {
  return file.level == kLevelCut && file.file.range.min >= destination.staging_valid_from();
}

}  // namespace

Result<MergeInputs> MergeInputs::Open(const Destination& destination,
                                      std::span<const LeveledFile> files,
                                      const capture::Staging& staging, InputPlace place) {
  const std::size_t window =
      std::clamp(kFetchedTotal / std::max<std::size_t>(files.size(), 1), kFetchedMin, kFetchedMax);
  MergeInputs inputs;
  for (const LeveledFile& file : files) {
    if (place == InputPlace::kStagedFirst && IsStaged(destination, file)) {
      auto staged = staging.OpenCut(file.file.range.min);
      if (staged) {
        RUNNEL_TRY_VOID(inputs.Add(*std::move(staged)));
        continue;
      }
      if (staged.error().code() != Errc::kNotFound) return Fail(std::move(staged).error());
    }
    inputs.owned_.push_back(std::make_unique<store::ObjectSource>(
        destination.store(), destination.layout().LtxKey(file.level, file.file.range), 0,
        file.file.size_bytes, window));
    inputs.sources_.push_back(inputs.owned_.back().get());
  }
  return inputs;
}

Result<void> MergeInputs::Add(std::unique_ptr<fs::File> file) {
  RUNNEL_TRY(const fs::FileInfo info, file->Info());
  owned_.push_back(std::make_unique<OwnedFileSource>(std::move(file), info.size_bytes));
  sources_.push_back(owned_.back().get());
  return {};
}

Result<ltx::Header> ReadHeaderOf(const Destination& destination, const LeveledFile& file,
                                 const capture::Staging& staging, InputPlace place) {
  if (place == InputPlace::kStagedFirst && IsStaged(destination, file)) {
    auto summary = staging.Summary(file.file.range.min);
    if (summary) return summary->header;
  }
  return ReadObjectHeader(destination.store(),
                          destination.layout().LtxKey(file.level, file.file.range));
}

bool AnyStaged(const Destination& destination, std::span<const LeveledFile> files) {
  return std::ranges::any_of(files,
                             [&](const LeveledFile& file) { return IsStaged(destination, file); });
}

}  // namespace runnel::replicate
