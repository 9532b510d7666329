// The server that tools/with-radosgw has started.

#pragma once

#include <string>

#include "base/result.h"

namespace runnel::testing {

// A test failure if it is not set.
std::string FromEnvironment(const char* name);

// The bucket "bucket", if it is not there.
Result<void> MakeTestBucket();

}  // namespace runnel::testing
