// What the jobs of one destination tell the set that they belong to.

#pragma once

#include <optional>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"

namespace runnel::replicate {

class Destination;

// Called from the jobs' threads, with no lock of a destination held. Thread-safe.
class DestinationEvents {
 public:
  virtual ~DestinationEvents() = default;

  // `newest` is the largest txid that the destination has. Uploads may begin if this returns
  // nothing; else the history is not settled yet, and is to be asked for again when the job is
  // woken, or at the time that is returned.
  virtual Result<std::optional<MonotonicTime>> OnConnected(Destination& destination,
                                                           Txid newest) = 0;

  // Objects were added: the position moved, or a level grew.
  virtual void OnStored(Destination& destination) = 0;

  virtual void OnSnapshotNeeded() = 0;
};

}  // namespace runnel::replicate
