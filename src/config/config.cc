#include "config/config.h"

#include <algorithm>

namespace runnel::config {

milliseconds Database::cut_interval() const {
  milliseconds quickest = milliseconds::max();
  for (const Replica& replica : replicas) quickest = std::min(quickest, replica.sync_interval);
  if (replicas.empty()) quickest = defaults::kSyncInterval;
  return std::max(quickest, cut_interval_min);
}

}  // namespace runnel::config
