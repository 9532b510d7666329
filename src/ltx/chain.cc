#include "ltx/chain.h"

// Inlined: compiled by clang it is more than twice as fast as the library that Debian builds.
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace runnel::ltx {

std::uint64_t PageChecksum(PageNo page_no, ByteView page) {
  return XXH3_64bits_withSeed(page.data(), page.size(), ToInt(page_no));
}

}  // namespace runnel::ltx
