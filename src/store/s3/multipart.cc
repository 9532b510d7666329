#include "store/s3/multipart.h"

#include <algorithm>
#include <utility>

namespace runnel::store::s3 {

PartUploader::PartUploader(unsigned parts_in_flight, SendPart send_part)
    : threads_max_(std::max(1U, parts_in_flight)), send_part_(std::move(send_part)) {}

PartUploader::~PartUploader() {
  {
    const std::lock_guard lock(mutex_);
    waiting_.clear();
  }
  Join();
}

Result<Bytes> PartUploader::Add(Bytes part) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return under_way_ < threads_max_ || error_; });
  if (error_) return Fail(*error_);
  etags_.emplace_back();
  waiting_.push_back({.number = static_cast<unsigned>(etags_.size()), .body = std::move(part)});
  ++under_way_;
  if (threads_.size() < under_way_) threads_.emplace_back([this] { Work(); });
  changed_.notify_all();
  if (spare_.empty()) return Bytes();
  Bytes empty = std::move(spare_.back());
  spare_.pop_back();
  return empty;
}

Result<std::vector<std::string>> PartUploader::Finish() {
  Join();
  const std::lock_guard lock(mutex_);
  if (error_) return Fail(*error_);
  return etags_;
}

void PartUploader::Join() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }
  threads_.clear();
}

void PartUploader::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return !waiting_.empty() || closed_; });
    if (waiting_.empty()) return;
    Part part = std::move(waiting_.front());
    waiting_.pop_front();
    if (!error_) {
      lock.unlock();
      auto etag = send_part_(part.number, part.body);
      part.body.clear();
      lock.lock();
      if (etag) {
        etags_[part.number - 1] = *std::move(etag);
        spare_.push_back(std::move(part.body));
      } else if (!error_) {
        error_ = std::move(etag).error();
      }
    }
    --under_way_;
    changed_.notify_all();
  }
}

}  // namespace runnel::store::s3
