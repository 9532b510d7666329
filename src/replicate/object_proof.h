// Reads an object back and believes nothing of it.

#pragma once

#include <cstdint>
#include <functional>

#include "base/ids.h"
#include "base/result.h"
#include "ltx/format.h"
#include "replicate/manifest.h"
#include "store/layout.h"
#include "store/object_store.h"

namespace runnel::replicate {

// Told of each page before the file is proven: to be acted on only where it can be taken back.
using PageChecksumVisitor = std::function<Result<void>(PageNo, std::uint64_t checksum)>;

// Decodes all of `file`. kCorruption unless it is a whole LTX file of the size that was listed and
// of the txids that its name says, and, where it has every page and a chain, the pages add up to
// it. `visit` may be empty; checksums are those of ltx/chain.h.
Result<ltx::Header> ProveObject(store::ObjectStore& store, const store::ReplicaLayout& layout,
                                const LeveledFile& file, const PageChecksumVisitor& visit);

}  // namespace runnel::replicate
