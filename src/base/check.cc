#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace runnel {

void CheckFailed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "runnel: internal error: CHECK(%s) failed at %s:%d\n", condition, file,
               line);
  std::fflush(stderr);
  std::abort();
}

}  // namespace runnel
