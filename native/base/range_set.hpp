#pragma once

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/block_pool.hpp"

namespace hawser {

// Bytes of a message that have arrived: a bitmap with one bit for each byte, and the number of ranges that
// the bytes form. The cost of add() depends on the length of the part alone, in whatever order parts arrive.
// The bitmap is cleared in at most 64 steps, each when its first byte arrives.
class RangeSet {
 public:
  enum class Added : std::uint8_t { kDone, kNoMemory, kTooMany };

  explicit RangeSet(std::uint32_t length) : length_(length) {
    while (words(length) > std::uint32_t{64} << chunk_shift_) ++chunk_shift_;
  }

  // Memory that the bitmap takes, from the first add() on.
  [[nodiscard]] static constexpr std::size_t memory_for(std::uint32_t length) {
    return BlockPool::size_for(std::size_t{words(length)} * sizeof(std::uint64_t));
  }

  // Takes the memory for the bitmap; later calls of add() need none. False when the pool has none.
  [[nodiscard]] bool reserve(BlockPool& pool) {
    if (!bitmap_) bitmap_ = pool.acquire(std::size_t{words(length_)} * sizeof(std::uint64_t));
    return static_cast<bool>(bitmap_);
  }

  // Adds the bytes begin..end (half open, begin < end <= length) and calls visit(begin, end) for each range
  // of them that was missing, in order. kTooMany when that would form more than `max_ranges` ranges. A
  // failure changes nothing.
  template <class F>
  Added add(BlockPool& pool, std::size_t max_ranges, std::uint32_t begin, std::uint32_t end, F&& visit) {
    assert(begin < end && end <= length_);
    if (!reserve(pool)) return Added::kNoMemory;
    const bool joins_left = begin > 0 && contains(begin - 1);
    const bool joins_right = end < length_ && contains(end);
    if (ranges_ >= max_ranges && !joins_left && !joins_right && !overlaps(begin, end)) return Added::kTooMany;
    std::uint32_t gap_begin = end;
    std::uint32_t gap_end = end;
    const auto fill_gap = [&] {
      if (gap_begin == gap_end) return;
      visit(gap_begin, gap_end);
      received_ += gap_end - gap_begin;
      const bool left = gap_begin > begin || joins_left;
      const bool right = gap_end < end || joins_right;
      // Filling a gap between two ranges joins them.
      ranges_ = ranges_ + 1 - (left ? 1U : 0U) - (right ? 1U : 0U);
    };
    for (std::uint32_t at = begin / kWordBits; at <= (end - 1) / kWordBits; ++at) {
      std::uint64_t& word = cleared_word(at);
      const std::uint64_t added = mask_of(at, begin, end);
      for (std::uint64_t missing = added & ~word; missing != 0;) {
        const int first = std::countr_zero(missing);
        const int count = std::countr_one(missing >> first);
        const std::uint32_t from = at * kWordBits + static_cast<std::uint32_t>(first);
        if (gap_end != from) {
          fill_gap();
          gap_begin = from;
        }
        gap_end = from + static_cast<std::uint32_t>(count);
        missing = first + count == kWordBits ? 0 : missing >> (first + count) << (first + count);
      }
      word |= added;
    }
    fill_gap();
    return Added::kDone;
  }

  // Number of ranges that neither overlap nor touch.
  [[nodiscard]] std::size_t count() const { return ranges_; }
  // Number of bytes that have arrived.
  [[nodiscard]] std::uint32_t received() const { return received_; }
  [[nodiscard]] bool complete() const { return received_ == length_; }
  // Returns the memory. Only complete() and received() may be used afterwards.
  void release() { bitmap_.reset(); }

 private:
  static constexpr std::uint32_t kWordBits = 64;
  // 64 words, 4,096 bytes of a message: clearing them costs less than opening a packet.
  static constexpr std::uint8_t kLeastChunkShift = 6;

  static constexpr std::uint32_t words(std::uint32_t length) {
    return length / kWordBits + (length % kWordBits == 0 ? 0 : 1);
  }
  static std::uint64_t mask_of(std::uint32_t word, std::uint32_t begin, std::uint32_t end) {
    std::uint64_t mask = ~std::uint64_t{0};
    if (word == begin / kWordBits) mask <<= begin % kWordBits;
    if (word == (end - 1) / kWordBits) mask &= ~std::uint64_t{0} >> (kWordBits - 1 - (end - 1) % kWordBits);
    return mask;
  }

  [[nodiscard]] std::uint64_t* data() const { return reinterpret_cast<std::uint64_t*>(bitmap_.data()); }
  // Whether the word's chunk has been cleared. Until then its bytes are missing, whatever the word contains.
  [[nodiscard]] bool is_cleared(std::uint32_t word) const {
    return ((cleared_ >> (word >> chunk_shift_)) & 1U) != 0;
  }
  [[nodiscard]] std::uint64_t word(std::uint32_t at) const { return is_cleared(at) ? data()[at] : 0; }
  std::uint64_t& cleared_word(std::uint32_t at) {
    if (!is_cleared(at)) {
      const std::uint32_t chunk = at >> chunk_shift_;
      const std::uint32_t first = chunk << chunk_shift_;
      const std::uint32_t count = std::min(words(length_) - first, std::uint32_t{1} << chunk_shift_);
      std::memset(data() + first, 0, count * sizeof(std::uint64_t));
      cleared_ |= std::uint64_t{1} << chunk;
    }
    return data()[at];
  }
  [[nodiscard]] bool contains(std::uint32_t byte) const {
    return ((word(byte / kWordBits) >> (byte % kWordBits)) & 1U) != 0;
  }
  [[nodiscard]] bool overlaps(std::uint32_t begin, std::uint32_t end) const {
    for (std::uint32_t at = begin / kWordBits; at <= (end - 1) / kWordBits; ++at) {
      if ((word(at) & mask_of(at, begin, end)) != 0) return true;
    }
    return false;
  }

  Block bitmap_;
  // Bit i: the words of chunk i have been cleared, all at once.
  std::uint64_t cleared_ = 0;
  std::uint32_t length_;
  std::uint32_t received_ = 0;
  std::uint32_t ranges_ = 0;
  // Words in a chunk, as a power of two, so that there are at most 64 chunks.
  std::uint8_t chunk_shift_ = kLeastChunkShift;
};

}  // namespace hawser
