#pragma once

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "base/block_pool.hpp"

namespace hawser {

// A queue in memory of a BlockPool, whose elements keep their number for life: the first ever pushed is 0,
// and what is popped makes no other move. It grows by doubling and gives its memory back when it is empty.
template <class T>
class Ring {
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= 16);

 public:
  // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are elements like others
  static constexpr std::size_t kElementBytes = sizeof(T);

  [[nodiscard]] bool empty() const { return begin_ == end_; }
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(end_ - begin_); }
  // How many it holds before it needs more memory.
  [[nodiscard]] std::size_t capacity() const { return block_ ? static_cast<std::size_t>(mask_) + 1 : 0; }
  // Numbers of the first element and of the next one to be pushed.
  [[nodiscard]] std::uint64_t begin() const { return begin_; }
  [[nodiscard]] std::uint64_t end() const { return end_; }

  // `number`: from begin() to end() - 1.
  [[nodiscard]] T& operator[](std::uint64_t number) {
    assert(begin_ <= number && number < end_);
    return elements()[number & mask_];
  }
  [[nodiscard]] const T& operator[](std::uint64_t number) const {
    assert(begin_ <= number && number < end_);
    return elements()[number & mask_];
  }
  [[nodiscard]] T& front() { return (*this)[begin_]; }
  [[nodiscard]] T& back() { return (*this)[end_ - 1]; }

  // False when the pool has no memory.
  [[nodiscard]] bool push(BlockPool& pool, const T& element) {
    if (size() == capacity() && !grow(pool)) return false;
    elements()[end_++ & mask_] = element;
    return true;
  }

  // Makes room for one more, so that the next push() succeeds.
  [[nodiscard]] bool reserve(BlockPool& pool) { return size() < capacity() || grow(pool); }

  void pop() {
    assert(!empty());
    if (++begin_ == end_) release();
  }

  void clear() {
    begin_ = end_;
    release();
  }

 private:
  static constexpr std::size_t kFirst = std::bit_floor(std::max<std::size_t>(256 / kElementBytes, 1));

  [[nodiscard]] T* elements() const { return reinterpret_cast<T*>(block_.data()); }

  bool grow(BlockPool& pool) {
    const std::size_t wanted = block_ ? 2 * capacity() : kFirst;
    Block larger = pool.acquire(wanted * kElementBytes);
    if (!larger) return false;
    const std::uint64_t mask = std::bit_floor(larger.size() / kElementBytes) - 1;
    auto* const to = reinterpret_cast<T*>(larger.data());
    for (std::uint64_t number = begin_; number != end_; ++number) to[number & mask] = (*this)[number];
    block_ = std::move(larger);
    mask_ = mask;
    return true;
  }

  void release() {
    block_.reset();
    mask_ = 0;
  }

  Block block_;
  std::uint64_t mask_ = 0;
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
};

}  // namespace hawser
