#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include "base/block_pool.hpp"

namespace hawser {

// Priority queue in memory of a BlockPool: the least element by operator< comes first. It grows by doubling
// and gives its memory back when it is empty.
template <class T>
class BlockHeap {
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= 16);

 public:
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] const T& top() const {
    assert(!empty());
    return *elements();
  }

  // False when the pool has no memory.
  [[nodiscard]] bool push(BlockPool& pool, const T& element) {
    if ((size_ + 1) * sizeof(T) > block_.size() && !grow(pool)) return false;
    std::construct_at(elements() + size_++, element);
    std::push_heap(elements(), elements() + size_, After());
    return true;
  }

  T pop() {
    assert(!empty());
    std::pop_heap(elements(), elements() + size_, After());
    const T popped = elements()[--size_];
    if (size_ == 0) block_.reset();
    return popped;
  }

  // Removes every element for which remove(element) holds, in linear time.
  template <class F>
  void remove_if(F&& remove) {
    T* const end = std::remove_if(elements(), elements() + size_, std::forward<F>(remove));
    size_ = static_cast<std::size_t>(end - elements());
    std::make_heap(elements(), end, After());
    if (size_ == 0) block_.reset();
  }

 private:
  static constexpr std::size_t kFirst = 8;

  struct After {
    bool operator()(const T& one, const T& other) const { return other < one; }
  };

  [[nodiscard]] T* elements() const { return reinterpret_cast<T*>(block_.data()); }

  bool grow(BlockPool& pool) {
    Block larger = pool.acquire(std::max(kFirst * sizeof(T), 2 * block_.size()));
    if (!larger) return false;
    std::uninitialized_copy_n(elements(), size_, reinterpret_cast<T*>(larger.data()));
    block_ = std::move(larger);
    return true;
  }

  Block block_;
  std::size_t size_ = 0;
};

}  // namespace hawser
