#pragma once

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "base/index_set.hpp"

namespace hawser {

class BufferPool;

// A buffer on loan from a BufferPool, given back when it dies. Move-only. An empty Buffer (moved from, or
// from an exhausted pool) is false and has no storage.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept
      : size(std::exchange(other.size, 0)),
        pool_(std::exchange(other.pool_, nullptr)),
        data_(std::exchange(other.data_, nullptr)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer taken(std::move(other));
    std::swap(size, taken.size);
    std::swap(pool_, taken.pool_);
    std::swap(data_, taken.data_);
    return *this;
  }
  ~Buffer() { reset(); }

  explicit operator bool() const { return data_ != nullptr; }

  // All of it, as long as the pool's buffers are.
  [[nodiscard]] inline MutableBytes storage() const;

  // The first `size` bytes: what the user says is in it.
  [[nodiscard]] Bytes bytes() const { return Bytes(storage()).first(size); }

  // Gives the buffer back now.
  inline void reset();

  // Bytes in use, at most storage().size(); the user's to set. 0 in a fresh buffer.
  std::size_t size = 0;

 private:
  friend class BufferPool;
  Buffer(BufferPool* pool, std::byte* data) : pool_(pool), data_(data) {}

  BufferPool* pool_ = nullptr;
  std::byte* data_ = nullptr;
};
static_assert(sizeof(Buffer) <= 24);

// Packet buffers of one size, at most `max_buffers`, allocated 32 at a time. Low chunks are used first, so
// that release_idle() finds free ones after a burst. Contents are not cleared.
class BufferPool {
 public:
  // Storage of each buffer is aligned to 16 bytes. 0 < buffer_bytes; max_buffers < 2^32.
  BufferPool(std::size_t buffer_bytes, std::size_t max_buffers)
      : buffer_bytes_(buffer_bytes),
        stride_(kHeaderBytes + (buffer_bytes + kAlignment - 1) / kAlignment * kAlignment),
        max_(max_buffers) {
    assert(buffer_bytes > 0 && max_buffers <= UINT32_MAX);
  }
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool() { assert(in_use_ == 0 && "every Buffer must die before its pool"); }

  // A buffer with size 0, or an empty Buffer when max() are out.
  [[nodiscard]] Buffer acquire() {
    if (in_use_ == max_) return {};
    std::size_t index = chunks_with_room_.lowest();
    if (index == IndexSet::kNone) index = add_chunk();
    Chunk& chunk = chunks_[index];
    const auto place = static_cast<std::size_t>(std::countr_zero(chunk.free));
    chunk.free &= chunk.free - 1;
    if (chunk.free == 0) chunks_with_room_.erase(index);
    ++in_use_;
    recent_peak_ = std::max(recent_peak_, in_use_);
    return {this, chunk.memory.get() + place * stride_ + kHeaderBytes};
  }

  [[nodiscard]] std::size_t buffer_bytes() const { return buffer_bytes_; }
  [[nodiscard]] std::size_t in_use() const { return in_use_; }
  // The most that were ever in use at once.
  [[nodiscard]] std::size_t peak() const { return std::max(peak_, recent_peak_); }
  [[nodiscard]] std::size_t max() const { return max_; }
  // Memory held, in bytes.
  [[nodiscard]] std::size_t allocated_bytes() const { return allocated_chunks_ * kChunkBuffers * stride_; }

  // Releases free chunks, the highest first, down to as many as were needed at once since the last call. Use
  // that repeats between calls never allocates again.
  void release_idle() {
    const std::size_t needed = (recent_peak_ + kChunkBuffers - 1) / kChunkBuffers;
    peak_ = peak();
    recent_peak_ = in_use_;
    for (std::size_t index = chunks_.size(); index > 0 && allocated_chunks_ > needed;) {
      Chunk& chunk = chunks_[--index];
      if (chunk.free != kAllFree || !chunk.memory) continue;
      chunk.memory.reset();
      chunks_with_room_.erase(index);
      unallocated_chunks_.insert(index);
      --allocated_chunks_;
    }
  }

 private:
  friend class Buffer;

  static constexpr std::size_t kChunkBuffers = 32;
  static constexpr std::uint32_t kAllFree = ~std::uint32_t{0};
  static constexpr std::size_t kAlignment = 16;
  // Before each buffer: its number as u32, which leads back to its chunk.
  static constexpr std::size_t kHeaderBytes = 16;
  static_assert(__STDCPP_DEFAULT_NEW_ALIGNMENT__ >= kAlignment);

  struct Chunk {
    std::unique_ptr<std::byte[]> memory;
    std::uint32_t free = kAllFree;
  };

  std::size_t add_chunk() {
    std::size_t index = unallocated_chunks_.lowest();
    if (index == IndexSet::kNone) {
      index = chunks_.size();
      chunks_.emplace_back();
    }
    unallocated_chunks_.erase(index);
    chunks_[index].memory = std::make_unique_for_overwrite<std::byte[]>(kChunkBuffers * stride_);
    for (std::size_t place = 0; place < kChunkBuffers; ++place) {
      const auto number = static_cast<std::uint32_t>(index * kChunkBuffers + place);
      std::memcpy(chunks_[index].memory.get() + place * stride_, &number, sizeof number);
    }
    chunks_with_room_.insert(index);
    ++allocated_chunks_;
    return index;
  }

  void release(const std::byte* data) {
    std::uint32_t number = 0;
    std::memcpy(&number, data - kHeaderBytes, sizeof number);
    Chunk& chunk = chunks_[number / kChunkBuffers];
    const std::uint32_t bit = std::uint32_t{1} << (number % kChunkBuffers);
    assert((chunk.free & bit) == 0);
    chunk.free |= bit;
    chunks_with_room_.insert(number / kChunkBuffers);
    --in_use_;
  }

  std::size_t buffer_bytes_;
  std::size_t stride_;
  std::size_t max_;
  std::size_t in_use_ = 0;
  std::size_t peak_ = 0;         // before the last release_idle()
  std::size_t recent_peak_ = 0;  // since then
  std::size_t allocated_chunks_ = 0;
  std::vector<Chunk> chunks_;
  IndexSet chunks_with_room_;    // allocated, with a free buffer
  IndexSet unallocated_chunks_;  // released by release_idle()
};

inline MutableBytes Buffer::storage() const {
  return data_ == nullptr ? MutableBytes() : MutableBytes(data_, pool_->buffer_bytes_);
}

inline void Buffer::reset() {
  if (data_ == nullptr) return;
  pool_->release(data_);
  pool_ = nullptr;
  data_ = nullptr;
  size = 0;
}

}  // namespace hawser
