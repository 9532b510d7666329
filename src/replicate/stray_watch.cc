#include "replicate/stray_watch.h"

#include <string_view>
#include <vector>

namespace runnel::replicate {

Result<WakeTime> StrayWatch::Run(MonotonicTime now) {
  if (const std::uint64_t epoch = destination_.claim().epoch(); epoch != epoch_) {
    epoch_ = epoch;
    wait_ = kFirstWait;
    next_.reset();
    if (destination_.claim().was_anothers()) next_ = now + wait_;
  }
  if (!next_ || now < *next_) return next_;
  RUNNEL_TRY_VOID(Look());
  wait_ *= 2;
  next_.reset();
  if (wait_ <= kLastWait) next_ = now + wait_;
  return next_;
}

Result<void> StrayWatch::Look() {
  store::ObjectStore& store = destination_.store();
  const std::string prefix = destination_.layout().LevelPrefix(kLevelSnapshot);
  RUNNEL_TRY(const auto objects, store::ListAll(store, prefix));
  for (const store::ObjectInfo& object : objects) {
    const auto name = std::string_view(object.key.text()).substr(prefix.size());
    const auto range = store::ParseLtxFileName(name);
    if (!range || !destination_.IsStray(kLevelSnapshot, *range)) continue;
    environment_.log.Warn(
        "a daemon that lost this replica has written a snapshot since; it is deleted",
        {{"destination", destination_.settings().name}, {"object", object.key.text()}});
    const LeveledFile stray{kLevelSnapshot, {*range, object.size_bytes, object.timestamp}};
    RUNNEL_TRY_VOID(destination_.DeleteFiles(std::span(&stray, 1)));
  }
  return {};
}

}  // namespace runnel::replicate
