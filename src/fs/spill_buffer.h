// Bytes of unknown number, kept in memory as long as they are few and in a file from then on.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/byte_stream.h"
#include "base/bytes.h"
#include "base/result.h"
#include "fs/file_stream.h"
#include "fs/file_system.h"

namespace runnel::fs {

// The file has no name from the moment it is open, so that it is gone with its process. One
// thread at a time.
class SpillBuffer final : public ByteSink {
 public:
  // Up to `memory_max_bytes` stay in memory; past that a file is made at `spill_path` (a unique
  // temporary name) with `ownership`. `files` must outlive the buffer.
  SpillBuffer(FileSystem& files, Path spill_path, const Ownership& ownership,
              std::size_t memory_max_bytes)
      : files_(files),
        spill_path_(std::move(spill_path)),
        ownership_(ownership),
        memory_max_(memory_max_bytes) {}
  SpillBuffer(const SpillBuffer&) = delete;
  SpillBuffer& operator=(const SpillBuffer&) = delete;

  Result<void> Append(ByteView bytes) override;

  // Everything appended so far, in order. May be called again.
  Result<void> CopyTo(ByteSink& sink);

  std::uint64_t size_bytes() const { return sink_ ? sink_->offset() : memory_.size(); }

 private:
  Result<void> Spill();

  FileSystem& files_;
  const Path spill_path_;
  const Ownership ownership_;
  const std::size_t memory_max_;
  Bytes memory_;                // everything, until the file is there
  std::unique_ptr<File> file_;  // with sink_: everything, from then on
  std::optional<FileSink> sink_;
};

}  // namespace runnel::fs
