// What the process is allowed: said before anything starts.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/world.h"

namespace runnel::cli_testing {
namespace {

using ::testing::HasSubstr;

using LimitsTest = WorldTest;

TEST_F(LimitsTest, TooFewDescriptorsAreRefusedWithTheNumberNeeded) {
  MakeDatabase(database_);
  const Outcome refused = RunRunnel({"replicate", "-once", database_.string(), Url(replica_)},
                                    {.descriptors_max = 100});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("136 open files are needed, and the limit of this process is "
                                     "100"));
  EXPECT_FALSE(exists(replica_));
  const Outcome enough = RunRunnel({"replicate", "-once", database_.string(), Url(replica_)},
                                   {.descriptors_max = 136});
  EXPECT_EQ(enough.exit_code, 0) << enough.err;
  ExpectRestoresTo(replica_, database_);
}

}  // namespace
}  // namespace runnel::cli_testing
