// Why there is nothing to restore: a wrong path must not look like an empty backup.

#pragma once

#include "base/result.h"
#include "restore/inventory.h"

namespace runnel::restore {

// kNotFound naming the location, and whichever of these is nearby: a replica of the other layout
// family, a replica further down or further up, a Litestream 0.3 backup, objects of another kind.
// If the store does not answer, its own error: nothing is known then.
Error ExplainEmptyReplica(const Source& source);

}  // namespace runnel::restore
