// Whether an object is what we wrote, or were about to write, under its name: the reply to an
// earlier try may have been lost.

#pragma once

#include <cstdint>

#include "base/result.h"
#include "fs/file_system.h"
#include "ltx/format.h"
#include "ltx/merge.h"
#include "store/object_store.h"

namespace runnel::replicate {

// The last bytes of an LTX object of `size_bytes`. kCorruption if it is too short to have them.
Result<ltx::Trailer> ReadObjectTrailer(store::ObjectStore& store, const store::ObjectKey& key,
                                       std::uint64_t size_bytes);

// Whether the object is, byte for byte, the first `size_bytes` of `file`, and no more.
Result<bool> HoldsFile(store::ObjectStore& store, const store::ObjectKey& key, fs::File& file,
                       std::uint64_t size_bytes);

// Whether the object is the whole LTX file that the merge made: the same merge of the same files
// gives the same bytes. False for one that is damaged.
Result<bool> HoldsMerge(store::ObjectStore& store, const store::ObjectKey& key,
                        const ltx::MergeResult& merged);

}  // namespace runnel::replicate
