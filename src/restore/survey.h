// The headers of a plan's files: what must be known before the first page is written.

#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "base/bytes.h"
#include "ltx/format.h"
#include "restore/fault.h"
#include "restore/inventory.h"

namespace runnel::restore {

// A small object costs one request: it is fetched whole.
inline constexpr std::uint64_t kSmallFileBytes = 128 * 1024;

struct SurveyedFile {
  LtxFile file;
  ltx::Header header;
  std::shared_ptr<const Bytes> body;  // the whole file, if it is small and there was room
};

struct SurveyOptions {
  int parallelism = 1;
  std::size_t bodies_max_bytes = 0;  // kept of small files, from the newest on
};

// Reads the header of each of `files`, and checks it against the file's name. Failures are
// recorded in `faults` too.
Result<std::vector<SurveyedFile>> SurveyFiles(const Source& source, std::span<const LtxFile> files,
                                              const SurveyOptions& options,
                                              const std::stop_token& stop, FaultRecord& faults);

// The first file whose chain does not begin where the previous one's ends. Only files that adjoin
// can be compared, and only where both carry a chain.
std::optional<std::size_t> FindChainBreak(std::span<const SurveyedFile> files);

}  // namespace runnel::restore
