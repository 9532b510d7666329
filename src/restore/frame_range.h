// Page frames of one file that lie close together: fetched in one piece, decoded one by one.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "ltx/chain.h"
#include "ltx/format.h"
#include "restore/fault.h"
#include "restore/survey.h"
#include "restore/worker_pool.h"

namespace runnel::restore {

struct RangeLimits {
  std::size_t pages = 0;
  std::size_t bytes = 0;  // from the first frame to the end of the last
};

class FrameRange {
 public:
  // `file` outlives the range; `body` is the whole of it, if it is in memory.
  FrameRange(const SurveyedFile& file, std::shared_ptr<const Bytes> body)
      : file_(&file), body_(std::move(body)) {}

  // Whether a frame that lies behind the others may be fetched with them. The first always fits.
  bool Fits(const ltx::IndexEntry& entry, const RangeLimits& limits) const;
  void Add(const ltx::IndexEntry& entry) { entries_.push_back(entry); }

  const std::vector<ltx::IndexEntry>& entries() const { return entries_; }
  const std::shared_ptr<const Bytes>& body() const { return body_; }
  std::size_t size_bytes() const { return static_cast<std::size_t>(end() - begin()); }

  // Decodes the page of each entry into the page-sized bytes that `place` names for it, and adds
  // its checksum to `sum`. What is read goes through `buffer`. A failure is the file's.
  Result<void> Decode(const Source& source, FaultRecord& faults, Bytes& buffer,
                      const std::function<MutableBytes(std::size_t)>& place,
                      ltx::ChainSum& sum) const;

 private:
  std::uint64_t begin() const { return entries_.front().offset_bytes; }
  std::uint64_t end() const { return entries_.back().offset_bytes + entries_.back().size_bytes; }
  Result<ByteView> Fetch(const Source& source, Bytes& buffer) const;

  const SurveyedFile* file_;
  std::shared_ptr<const Bytes> body_;
  std::vector<ltx::IndexEntry> entries_;
};

}  // namespace runnel::restore
