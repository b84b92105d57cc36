#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "base/block_pool.hpp"
#include "base/bytes.hpp"

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

// Bytes in a queue, each with its offset from the first ever appended.
class ByteRing {
 public:
  [[nodiscard]] std::uint64_t begin() const { return begin_; }
  [[nodiscard]] std::uint64_t end() const { return end_; }
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(end_ - begin_); }

  // Makes room for `count` more bytes; false when the pool has none.
  [[nodiscard]] bool reserve(BlockPool& pool, std::size_t count) {
    const std::size_t needed = size() + count;
    if (needed <= block_.size()) return true;
    Block larger = pool.acquire(std::max(needed, kFirst));
    if (!larger) return false;
    for (std::uint64_t at = begin_; at != end_;) {
      const Bytes part = contiguous(at, static_cast<std::size_t>(end_ - at));
      write(larger.bytes(), at, part);
      at += part.size();
    }
    block_ = std::move(larger);
    return true;
  }

  // As much as was reserved.
  void append(Bytes bytes) {
    assert(size() + bytes.size() <= block_.size());
    write(block_.bytes(), end_, bytes);
    end_ += bytes.size();
  }

  // Copies the `out.size()` bytes from `offset` on; all of them must be there.
  void copy(std::uint64_t offset, MutableBytes out) const {
    assert(begin_ <= offset && offset + out.size() <= end_);
    for (std::size_t done = 0; done < out.size();) {
      const Bytes part = contiguous(offset + done, out.size() - done);
      std::memcpy(out.data() + done, part.data(), part.size());
      done += part.size();
    }
  }

  // Drops everything before `offset`, which is at most end().
  void drop_to(std::uint64_t offset) {
    assert(begin_ <= offset && offset <= end_);
    begin_ = offset;
    if (begin_ == end_) block_.reset();
  }

 private:
  static constexpr std::size_t kFirst = 1024;

  [[nodiscard]] Bytes contiguous(std::uint64_t offset, std::size_t most) const {
    const std::size_t at = static_cast<std::size_t>(offset) & (block_.size() - 1);
    return {block_.data() + at, std::min(most, block_.size() - at)};
  }

  static void write(MutableBytes ring, std::uint64_t offset, Bytes bytes) {
    const std::size_t at = static_cast<std::size_t>(offset) & (ring.size() - 1);
    const std::size_t first = std::min(bytes.size(), ring.size() - at);
    if (first > 0) std::memcpy(ring.data() + at, bytes.data(), first);
    if (first < bytes.size()) std::memcpy(ring.data(), bytes.data() + first, bytes.size() - first);
  }

  Block block_;
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
};

}  // namespace hawser
