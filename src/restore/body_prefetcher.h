// Fetches small files whole, some ahead of where they are used, so that thousands of them do not
// cost a round trip each.

#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <memory>
#include <span>

#include "restore/fault.h"
#include "restore/survey.h"
#include "restore/worker_pool.h"

namespace runnel::restore {

// Used by the pool's feeder.
class BodyPrefetcher {
 public:
  // At most `window` bodies are held or on their way. What is referred to outlives the prefetcher
  // and the pool's tasks.
  BodyPrefetcher(const Source& source, std::span<const SurveyedFile> files, WorkerPool& pool,
                 FaultRecord& faults, std::size_t window);

  // The body of files[i], nothing for a file that is not small. Called once for every i, from the
  // last to the first; fails as the pool.
  Result<std::shared_ptr<const Bytes>> Take(std::size_t i);

 private:
  struct Slot {
    std::shared_ptr<const Bytes> body;  // written before `done`
    std::atomic<bool> done = false;
  };

  Result<void> Start(std::size_t i);

  const Source source_;
  const std::span<const SurveyedFile> files_;
  WorkerPool& pool_;
  FaultRecord& faults_;
  const std::size_t window_;
  std::size_t started_;                      // files from here to the end have a slot, or had one
  std::deque<std::shared_ptr<Slot>> slots_;  // of the files from started_ up to the last not taken
};

}  // namespace runnel::restore
