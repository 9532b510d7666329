#include "store/object_source.h"

#include <algorithm>

namespace runnel::store {

Result<std::size_t> ObjectSource::Read(MutableBytes out) {
  if (window_used_ == window_.size()) RUNNEL_TRY_VOID(Fetch());
  const std::size_t count = std::min(out.size(), window_.size() - window_used_);
  std::copy_n(window_.begin() + static_cast<std::ptrdiff_t>(window_used_), count, out.begin());
  window_used_ += count;
  return count;
}

Result<void> ObjectSource::Fetch() {
  const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(window_max_, rest_));
  window_used_ = 0;
  window_.resize(wanted);
  auto count = wanted == 0 ? Result<std::size_t>(0) : store_.ReadAt(key_, offset_, window_);
  window_.resize(count ? *count : 0);
  if (!count) return Fail(std::move(count).error());
  offset_ += *count;
  rest_ = *count < wanted ? 0 : rest_ - *count;
  return {};
}

}  // namespace runnel::store
