// Files to be merged, opened where they are cheapest to read.

#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/byte_stream.h"
#include "base/result.h"
#include "capture/staging.h"
#include "replicate/destination.h"
#include "replicate/manifest.h"

namespace runnel::replicate {

enum class InputPlace : std::uint8_t {
  kStagedFirst,  // from the staging where it has the same cut, else from the store
  kStore,
};

class MergeInputs {
 public:
  // `files` of the replica, oldest first. Staging and store outlive this. Memory is bounded,
  // however many there are.
  static Result<MergeInputs> Open(const Destination& destination,
                                  std::span<const LeveledFile> files,
                                  const capture::Staging& staging,
                                  InputPlace place = InputPlace::kStagedFirst);

  // Appends a local file.
  Result<void> Add(std::unique_ptr<fs::File> file);

  std::span<ByteSource* const> sources() const { return sources_; }

 private:
  std::vector<std::unique_ptr<ByteSource>> owned_;
  std::vector<ByteSource*> sources_;
};

// The header of a file of the replica, from where MergeInputs would read it.
Result<ltx::Header> ReadHeaderOf(const Destination& destination, const LeveledFile& file,
                                 const capture::Staging& staging,
                                 InputPlace place = InputPlace::kStagedFirst);

// Whether any of `files` would be read from the staging.
bool AnyStaged(const Destination& destination, std::span<const LeveledFile> files);

}  // namespace runnel::replicate
