// Deadlines in order, each in the object that waits for it.
//
// The nodes belong to the caller; the heap holds one pointer to each, so that a node can be moved
// or taken out in O(log n) without a search. Not thread-safe.

#pragma once

#include <cstddef>
#include <limits>
#include <vector>

#include "base/clock.h"

namespace runnel::runtime {

class TimerHeap {
 public:
  class Node {
   public:
    bool armed() const { return index_ != kNotArmed; }
    MonotonicTime deadline() const { return deadline_; }  // of an armed node

   private:
    friend class TimerHeap;
    static constexpr std::size_t kNotArmed = std::numeric_limits<std::size_t>::max();
    MonotonicTime deadline_;
    std::size_t index_ = kNotArmed;
  };

  // Arms `node`, or moves it if it is armed. It stays at its address until it is disarmed.
  void Arm(Node& node, MonotonicTime deadline);

  // Does nothing if it is not armed.
  void Disarm(Node& node);

  // The node of the earliest deadline; null if none is armed.
  Node* Earliest() const { return nodes_.empty() ? nullptr : nodes_.front(); }

 private:
  void Place(Node* node, std::size_t index);
  void MoveUp(Node* node, std::size_t index);
  void MoveDown(Node* node, std::size_t index);

  std::vector<Node*> nodes_;  // a binary heap
};

}  // namespace runnel::runtime
