#include "runtime/system_random.h"

#include <sys/random.h>

#include "base/check.h"

namespace runnel::runtime {

std::uint64_t SystemRandom::NextU64() {
  std::uint64_t value = 0;
  // For up to 256 bytes it is neither interrupted nor short (getrandom(2)).
  RUNNEL_CHECK(getrandom(&value, sizeof(value), 0) == ssize_t{sizeof(value)});
  return value;
}

}  // namespace runnel::runtime
