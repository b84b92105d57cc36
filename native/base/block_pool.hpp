#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "base/bytes.hpp"

namespace hawser {

class BlockPool;

// Memory on loan from a BlockPool, given back when it dies. Move-only. An empty Block (moved from, or refused
// by the pool) is false and has no bytes.
class Block {
 public:
  Block() = default;
  Block(Block&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Block& operator=(Block&& other) noexcept {
    Block taken(std::move(other));
    std::swap(pool_, taken.pool_);
    std::swap(data_, taken.data_);
    std::swap(size_, taken.size_);
    return *this;
  }
  ~Block() { reset(); }

  explicit operator bool() const { return data_ != nullptr; }
  // A power of two of at least BlockPool::kLeast, aligned to 16 bytes; 0 when empty.
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] MutableBytes bytes() const { return {data_, size_}; }
  inline void reset();
  // Leaves the memory to the caller, who gives it back with BlockPool::give_back(data, size).
  [[nodiscard]] std::byte* release() {
    pool_ = nullptr;
    size_ = 0;
    return std::exchange(data_, nullptr);
  }

 private:
  friend class BlockPool;
  Block(BlockPool* pool, std::byte* data, std::size_t size) : pool_(pool), data_(data), size_(size) {}

  BlockPool* pool_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};
static_assert(sizeof(Block) == 24);

// Memory in powers of two for what grows and shrinks with traffic: queues of messages, books of packets,
// messages that are being put together. Blocks that come back are kept for the next user, up to a limit, so
// that steady traffic allocates nothing. Contents are not cleared.
class BlockPool {
 public:
  static constexpr std::size_t kLeast = 64;
  static constexpr std::size_t kMost = std::size_t{1} << 31U;

  // `max_bytes`: what may be on loan at a time, at most. `max_kept`: what may wait for a next user.
  explicit BlockPool(std::size_t max_bytes, std::size_t max_kept) : max_(max_bytes), max_kept_(max_kept) {}
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;
  ~BlockPool() {
    assert(in_use_ == 0 && "every Block must die before its pool");
    if (!free_) return;
    for (Free*& head : *free_) {
      while (head != nullptr) ::operator delete(std::exchange(head, head->next));
    }
  }

  // The size of the block that acquire(bytes) gives.
  [[nodiscard]] static constexpr std::size_t size_for(std::size_t bytes) {
    return std::bit_ceil(std::max(bytes, kLeast));
  }

  // A block of at least `bytes` bytes, 0 to kMost; an empty one when that would exceed max_bytes or the
  // system has no memory.
  [[nodiscard]] Block acquire(std::size_t bytes) {
    const std::size_t size = size_for(bytes);
    if (size > kMost || size > max_ - in_use_) return {};
    std::byte* data = nullptr;
    if (free_ && (*free_)[class_of(size)] != nullptr) {
      Free*& head = (*free_)[class_of(size)];
      data = reinterpret_cast<std::byte*>(std::exchange(head, head->next));
      kept_ -= size;
    } else {
      data = static_cast<std::byte*>(::operator new(size, std::nothrow));
      if (data == nullptr) return {};
    }
    in_use_ += size;
    recent_peak_ = std::max(recent_peak_, in_use_);
    return {this, data, size};
  }

  // Takes back a block that Block::release() has left to the caller. `size`: that of the block.
  void give_back(std::byte* data, std::size_t size) { release(data, size); }

  // Releases free blocks, the longest first, until the pool holds no more than was on loan at once since the
  // last call.
  void release_idle() {
    const std::size_t spare = recent_peak_ - in_use_;
    for (std::size_t index = kClasses; index-- > 0 && kept_ > spare;) {
      Free*& head = (*free_)[index];
      for (; head != nullptr && kept_ > spare; kept_ -= kLeast << index)
        ::operator delete(std::exchange(head, head->next));
    }
    if (kept_ == 0) free_.reset();
    peak_ = peak();
    recent_peak_ = in_use_;
  }

  [[nodiscard]] std::size_t in_use() const { return in_use_; }
  // Free blocks, in bytes.
  [[nodiscard]] std::size_t kept() const { return kept_; }
  // The most that was ever on loan at once.
  [[nodiscard]] std::size_t peak() const { return std::max(peak_, recent_peak_); }
  [[nodiscard]] std::size_t max() const { return max_; }
  // Memory held, on loan or kept.
  [[nodiscard]] std::size_t allocated_bytes() const { return in_use_ + kept_; }

 private:
  friend class Block;
  struct Free {
    Free* next;
  };
  // By the size of the blocks, from kLeast to kMost.
  static constexpr std::size_t kClasses = std::countr_zero(kMost / kLeast) + 1;
  using FreeLists = std::array<Free*, kClasses>;

  static std::size_t class_of(std::size_t size) {
    return static_cast<std::size_t>(std::countr_zero(size / kLeast));
  }

  void release(std::byte* data, std::size_t size) {
    in_use_ -= size;
    if (size > max_kept_ - kept_) return ::operator delete(data);
    if (!free_) free_.reset(new (std::nothrow) FreeLists());
    if (!free_) return ::operator delete(data);
    Free*& head = (*free_)[class_of(size)];
    head = ::new (static_cast<void*>(data)) Free{head};
    kept_ += size;
  }

  std::size_t max_;
  std::size_t max_kept_;
  std::size_t in_use_ = 0;
  std::size_t peak_ = 0;         // before the last release_idle()
  std::size_t recent_peak_ = 0;  // since then
  std::size_t kept_ = 0;
  // The free blocks of each class. Null while there is none, as in the pools of an idle connection.
  std::unique_ptr<FreeLists> free_;
};

inline void Block::reset() {
  if (data_ == nullptr) return;
  pool_->release(data_, size_);
  pool_ = nullptr;
  data_ = nullptr;
  size_ = 0;
}

}  // namespace hawser
