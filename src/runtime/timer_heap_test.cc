#include "runtime/timer_heap.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace runnel::runtime {
namespace {

MonotonicTime At(std::int64_t ns) { return MonotonicTime(std::chrono::nanoseconds(ns)); }

TEST(TimerHeapTest, IsEmptyAtFirst) {
  const TimerHeap heap;
  EXPECT_EQ(heap.Earliest(), nullptr);
}

TEST(TimerHeapTest, DisarmingTwiceIsHarmless) {
  TimerHeap heap;
  TimerHeap::Node node;
  heap.Arm(node, At(1));
  heap.Disarm(node);
  heap.Disarm(node);
  EXPECT_FALSE(node.armed());
  EXPECT_EQ(heap.Earliest(), nullptr);
}

TEST(TimerHeapTest, AgreesWithASortedMapOverRandomOperations) {
  constexpr unsigned kSeed = 7;
  SCOPED_TRACE(kSeed);
  std::mt19937 random(kSeed);
  TimerHeap heap;
  std::vector<TimerHeap::Node> nodes(50);
  std::map<TimerHeap::Node*, std::int64_t> model;
  for (int i = 0; i < 20'000; ++i) {
    TimerHeap::Node& node = nodes[random() % nodes.size()];
    if (random() % 3 == 0) {
      heap.Disarm(node);
      model.erase(&node);
    } else {
      const std::int64_t deadline = random() % 100;
      heap.Arm(node, At(deadline));
      model[&node] = deadline;
    }
    if (model.empty()) {
      ASSERT_EQ(heap.Earliest(), nullptr);
      continue;
    }
    std::int64_t earliest = 100;
    for (const auto& [_, deadline] : model) earliest = std::min(earliest, deadline);
    ASSERT_EQ(heap.Earliest()->deadline(), At(earliest)) << "step " << i;
    ASSERT_EQ(model.at(heap.Earliest()), earliest) << "step " << i;
  }
}

}  // namespace
}  // namespace runnel::runtime
