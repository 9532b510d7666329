// The database checksum that chains LTX files to each other (docs/formats/ltx.md, "The chain").
//
// It is the sum mod 2^64, over all pages but the lock page, of XXH3-64 of the page seeded with its
// number. A sum, so that a change of a few pages costs a few hashes and pages may come in any
// order; seeded and not linear in the content, so that swapped pages and equal changes to two
// pages do not cancel out, as they do in LTX's own XOR of CRCs.

#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/ids.h"

namespace runnel::ltx {

// XXH3-64 of `page`, seeded with `page_no`.
std::uint64_t PageChecksum(PageNo page_no, ByteView page);

// A database checksum under construction. A value.
class ChainSum {
 public:
  ChainSum() = default;
  explicit ChainSum(DatabaseChecksum start) : sum_(ToInt(start)) {}

  void Add(std::uint64_t page_checksum) { sum_ += page_checksum; }
  void Remove(std::uint64_t page_checksum) { sum_ -= page_checksum; }
  DatabaseChecksum value() const { return DatabaseChecksum{sum_}; }

 private:
  std::uint64_t sum_ = 0;
};

}  // namespace runnel::ltx
