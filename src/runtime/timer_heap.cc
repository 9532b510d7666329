#include "runtime/timer_heap.h"

namespace runnel::runtime {

void TimerHeap::Arm(Node& node, MonotonicTime deadline) {
  if (!node.armed()) {
    nodes_.push_back(&node);
    node.deadline_ = deadline;
    MoveUp(&node, nodes_.size() - 1);
  } else if (deadline < node.deadline_) {
    node.deadline_ = deadline;
    MoveUp(&node, node.index_);
  } else {
    node.deadline_ = deadline;
    MoveDown(&node, node.index_);
  }
}

void TimerHeap::Disarm(Node& node) {
  if (!node.armed()) return;
  const std::size_t hole = node.index_;
  node.index_ = Node::kNotArmed;
  Node* last = nodes_.back();
  nodes_.pop_back();
  if (last == &node) return;
  // The last one may belong above or below the hole: it comes from another branch.
  if (last->deadline_ < node.deadline_) {
    MoveUp(last, hole);
  } else {
    MoveDown(last, hole);
  }
}

void TimerHeap::Place(Node* node, std::size_t index) {
  nodes_[index] = node;
  node->index_ = index;
}

void TimerHeap::MoveUp(Node* node, std::size_t index) {
  while (index > 0) {
    const std::size_t parent = (index - 1) / 2;
    if (nodes_[parent]->deadline_ <= node->deadline_) break;
    Place(nodes_[parent], index);
    index = parent;
  }
  Place(node, index);
}

void TimerHeap::MoveDown(Node* node, std::size_t index) {
  for (;;) {
    std::size_t child = 2 * index + 1;
    if (child >= nodes_.size()) break;
    if (child + 1 < nodes_.size() && nodes_[child + 1]->deadline_ < nodes_[child]->deadline_) {
      ++child;
    }
    if (node->deadline_ <= nodes_[child]->deadline_) break;
    Place(nodes_[child], index);
    index = child;
  }
  Place(node, index);
}

}  // namespace runnel::runtime
