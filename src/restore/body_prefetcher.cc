#include "restore/body_prefetcher.h"

#include <utility>

#include "restore/object_reader.h"

namespace runnel::restore {

BodyPrefetcher::BodyPrefetcher(const Source& source, std::span<const SurveyedFile> files,
                               WorkerPool& pool, FaultRecord& faults, std::size_t window)
    : source_(source),
      files_(files),
      pool_(pool),
      faults_(faults),
      window_(window),
      started_(files.size()) {}

Result<std::shared_ptr<const Bytes>> BodyPrefetcher::Take(std::size_t i) {
  while (started_ > 0 && slots_.size() < window_) {
    RUNNEL_TRY_VOID(Start(started_ - 1));
    --started_;
  }
  RUNNEL_CHECK(started_ <= i && i == started_ + slots_.size() - 1);
  const std::shared_ptr<Slot> slot = std::move(slots_.back());
  slots_.pop_back();
  RUNNEL_TRY_VOID(pool_.WaitUntil([&] { return slot->done.load(std::memory_order_acquire); }));
  return slot->body;
}

Result<void> BodyPrefetcher::Start(std::size_t i) {
  const SurveyedFile& file = files_[i];
  slots_.push_front(std::make_shared<Slot>());
  const std::shared_ptr<Slot> slot = slots_.front();
  if (file.body != nullptr || file.file.size_bytes > kSmallFileBytes) {
    slot->body = file.body;
    slot->done = true;
    return {};
  }
  const auto size_bytes = static_cast<std::size_t>(file.file.size_bytes);
  return pool_.Submit(size_bytes, [this, slot, &file, size_bytes](Scratch&) -> Result<void> {
    Bytes body(size_bytes);
    ObjectReader reader(*source_.store, source_.KeyOf(file.file), size_bytes);
    if (auto read = reader.ReadAt(0, body); !read) {
      return Fail(faults_.AtFile(source_, file.file, std::move(read).error()));
    }
    slot->body = std::make_shared<const Bytes>(std::move(body));
    slot->done.store(true, std::memory_order_release);
    return {};
  });
}

}  // namespace runnel::restore
