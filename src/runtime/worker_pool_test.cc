#include "runtime/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <string>
#include <vector>

namespace runnel::runtime {
namespace {

TEST(ParallelForTest, VisitsEachIndexOnce) {
  for (const std::size_t workers : {1U, 2U, 7U}) {
    std::vector<std::atomic<int>> visits(1000);
    EXPECT_TRUE(ParallelFor(workers, visits.size(), [&](std::size_t i) -> Result<void> {
                  ++visits[i];
                  return {};
                }).has_value());
    for (const auto& n : visits) ASSERT_EQ(n, 1);
  }
}

TEST(ParallelForTest, NothingToDoIsASuccess) {
  EXPECT_TRUE(ParallelFor(4, 0, [](std::size_t) -> Result<void> {
                return Fail(Errc::kInternal, "called");
              }).has_value());
}

TEST(ParallelForTest, RunsOnAsManyThreadsAsAsked) {
  std::barrier meet(3);  // would wait for ever with fewer
  EXPECT_TRUE(ParallelFor(3, 3, [&](std::size_t) -> Result<void> {
                meet.arrive_and_wait();
                return {};
              }).has_value());
}

TEST(ParallelForTest, StartsNothingAfterAFailure) {
  std::vector<std::size_t> started;
  const auto result = ParallelFor(1, 100, [&](std::size_t i) -> Result<void> {
    started.push_back(i);
    if (i == 3) return Fail(Errc::kIo, "three");
    return {};
  });
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error(), Error(Errc::kIo, "three"));
  EXPECT_EQ(started, (std::vector<std::size_t>{0, 1, 2, 3}));
}

TEST(ParallelForTest, ReturnsTheFailureOfTheLowestIndex) {
  std::barrier meet(4);
  const auto result = ParallelFor(4, 100, [&](std::size_t i) -> Result<void> {
    meet.arrive_and_wait();  // all four have begun before one fails
    return Fail(Errc::kIo, std::to_string(i));
  });
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().message(), "0");
}

}  // namespace
}  // namespace runnel::runtime
