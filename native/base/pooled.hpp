#pragma once

#include <cstddef>
#include <new>
#include <utility>

#include "base/block_pool.hpp"

namespace hawser {

// An object in memory of a BlockPool. Move-only, one pointer in size; empty when the pool had no memory.
template <class T>
class Pooled {
  struct Node {
    template <class... Args>
    explicit Node(Block&& own, Args&&... args) : memory(std::move(own)), value(std::forward<Args>(args)...) {}

    Block memory;  // the node lies in it
    T value;
  };
  static_assert(alignof(Node) <= 16);

 public:
  // Memory that make() takes from the pool.
  static constexpr std::size_t memory() { return BlockPool::size_for(sizeof(Node)); }

  Pooled() = default;
  template <class... Args>
  static Pooled make(BlockPool& pool, Args&&... args) {
    Pooled made;
    Block memory = pool.acquire(sizeof(Node));
    if (!memory) return made;
    std::byte* const at = memory.data();
    made.node_ = ::new (static_cast<void*>(at)) Node(std::move(memory), std::forward<Args>(args)...);
    return made;
  }
  Pooled(Pooled&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  Pooled& operator=(Pooled&& other) noexcept {
    Pooled taken(std::move(other));
    std::swap(node_, taken.node_);
    return *this;
  }
  ~Pooled() { reset(); }

  explicit operator bool() const { return node_ != nullptr; }
  [[nodiscard]] T& operator*() const { return node_->value; }
  [[nodiscard]] T* operator->() const { return &node_->value; }
  [[nodiscard]] T* get() const { return node_ == nullptr ? nullptr : &node_->value; }

  void reset() {
    if (node_ == nullptr) return;
    const Block memory = std::move(node_->memory);
    std::exchange(node_, nullptr)->~Node();
  }

 private:
  Node* node_ = nullptr;
};

}  // namespace hawser
