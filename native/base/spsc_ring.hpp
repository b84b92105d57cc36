#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <optional>
#include <type_traits>

namespace hawser {

// A ring of fixed size from one thread to another, without locks: one thread pushes, one pops, neither ever
// waits. What the pushing thread did before push() is seen by the popping thread after pop().
template <class T, std::size_t kCapacity>
class SpscRing {
  static_assert(kCapacity > 0 && (kCapacity & (kCapacity - 1)) == 0, "a power of two");
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  // False when it is full.
  [[nodiscard]] bool push(T value) {
    const std::size_t end = end_.load(std::memory_order_relaxed);
    if (end - known_begin_ == kCapacity) {
      known_begin_ = begin_.load(std::memory_order_acquire);
      if (end - known_begin_ == kCapacity) return false;
    }
    cells_[end % kCapacity] = value;
    end_.store(end + 1, std::memory_order_release);
    return true;
  }

  [[nodiscard]] std::optional<T> pop() {
    const std::size_t begin = begin_.load(std::memory_order_relaxed);
    if (begin == known_end_) {
      known_end_ = end_.load(std::memory_order_acquire);
      if (begin == known_end_) return std::nullopt;
    }
    const T value = cells_[begin % kCapacity];
    begin_.store(begin + 1, std::memory_order_release);
    return value;
  }

  // Whether all that was pushed has been popped. Of either thread: what the other does meanwhile may make it
  // true for the pushing one, and false for the popping one.
  [[nodiscard]] bool empty() const {
    return begin_.load(std::memory_order_acquire) == end_.load(std::memory_order_acquire);
  }

 private:
  // Each side writes to a cache line of its own, where it also keeps what it last knew of the other.
  static constexpr std::size_t kLine = 64;

  alignas(kLine) std::atomic<std::size_t> end_ = 0;
  std::size_t known_begin_ = 0;
  alignas(kLine) std::atomic<std::size_t> begin_ = 0;
  std::size_t known_end_ = 0;
  alignas(kLine) std::array<T, kCapacity> cells_{};
};

}  // namespace hawser
