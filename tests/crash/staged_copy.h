// What a replica makes of the staged cuts: applies them one by one, and proves the chain.

#pragma once

#include <functional>
#include <optional>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "fs/file_system.h"

namespace runnel::tests {

class StagedCopy {
 public:
  // After each cut, with the copy as of it.
  using Visitor = std::function<void(Txid)>;

  // Applies the cuts of `folder` that are newer than newest(). kCorruption if one does not follow
  // the one before, or the pages do not add up to what it says.
  Result<void> Apply(fs::FileSystem& files, const fs::Path& folder, const Visitor& visit);

  Txid newest() const { return newest_; }
  const Bytes& content() const { return content_; }
  int new_chains() const { return new_chains_; }

 private:
  Result<void> ApplyCut(fs::FileSystem& files, const fs::Path& path, Txid txid);

  Txid newest_{};
  Bytes content_;
  std::uint32_t page_size_ = 0;
  DatabaseChecksum checksum_{};
  WallTime timestamp_;
  int new_chains_ = 0;
};

}  // namespace runnel::tests
