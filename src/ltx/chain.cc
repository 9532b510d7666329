#include "ltx/chain.h"

#include <xxhash.h>

namespace runnel::ltx {

std::uint64_t PageChecksum(PageNo page_no, ByteView page) {
  return XXH3_64bits_withSeed(page.data(), page.size(), ToInt(page_no));
}

}  // namespace runnel::ltx
