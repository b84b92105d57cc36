#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/block_pool.hpp"

namespace hawser {

// Which bytes of something are there: ranges of 32-bit offsets that neither overlap nor touch, in order. A
// few of them need no memory beside the object.
class RangeSet {
 public:
  // Half open.
  struct Range {
    std::uint32_t begin;
    std::uint32_t end;
  };

  enum class Added : std::uint8_t { kDone, kNoMemory, kTooMany };

  // As many lie in the object itself.
  static constexpr std::size_t kFew = 8;

  // Adds begin..end, begin < end, after calling visit(begin, end) for each part of it that was missing. On a
  // failure nothing was called and nothing is changed.
  template <class F>
  Added add(BlockPool& pool, std::size_t max_ranges, std::uint32_t begin, std::uint32_t end, F&& visit) {
    assert(begin < end);
    const std::span<Range> ranges = all();
    // The first range that ends at or behind `begin`, and the first that begins behind `end`: those between
    // become one.
    const auto first =
        std::ranges::lower_bound(ranges, begin, {}, [](const Range& range) { return range.end; });
    const auto last =
        std::ranges::upper_bound(ranges, end, {}, [](const Range& range) { return range.begin; });
    const auto at = static_cast<std::size_t>(first - ranges.begin());
    if (first >= last) {
      if (const Added room = make_room(pool, max_ranges); room != Added::kDone) return room;
      visit(begin, end);
      Range* const to = data() + at;
      std::memmove(to + 1, to, (count_ - at) * sizeof(Range));
      *to = Range{begin, end};
      ++count_;
      return Added::kDone;
    }
    std::uint32_t covered = begin;
    for (auto range = first; range != last; ++range) {
      if (covered < range->begin) visit(covered, range->begin);
      covered = std::max(covered, range->end);
    }
    if (covered < end) visit(covered, end);
    const Range merged{std::min(begin, first->begin), std::max(end, (last - 1)->end)};
    *first = merged;
    const auto removed = static_cast<std::size_t>(last - first) - 1;
    std::memmove(data() + at + 1, data() + at + 1 + removed, (count_ - at - 1 - removed) * sizeof(Range));
    count_ -= static_cast<std::uint32_t>(removed);
    return Added::kDone;
  }

  [[nodiscard]] std::size_t count() const { return count_; }
  // How much memory `more` further calls of add() may need at most.
  [[nodiscard]] std::size_t memory_for(std::size_t more) const {
    return count_ + more > capacity() ? 2 * BlockPool::size_for((count_ + more) * sizeof(Range)) : 0;
  }
  // Whether 0..length is there without a gap.
  [[nodiscard]] bool covers(std::uint32_t length) const {
    return length == 0 || (count_ > 0 && data()[0].begin == 0 && data()[0].end >= length);
  }

 private:
  [[nodiscard]] Range* data() { return block_ ? reinterpret_cast<Range*>(block_.data()) : few_.data(); }
  [[nodiscard]] const Range* data() const {
    return block_ ? reinterpret_cast<const Range*>(block_.data()) : few_.data();
  }
  [[nodiscard]] std::span<Range> all() { return {data(), count_}; }

  [[nodiscard]] std::size_t capacity() const { return block_ ? block_.size() / sizeof(Range) : few_.size(); }

  Added make_room(BlockPool& pool, std::size_t max_ranges) {
    if (count_ >= max_ranges) return Added::kTooMany;
    if (count_ < capacity()) return Added::kDone;
    Block larger = pool.acquire(2 * capacity() * sizeof(Range));
    if (!larger) return Added::kNoMemory;
    std::memcpy(larger.data(), data(), count_ * sizeof(Range));
    block_ = std::move(larger);
    return Added::kDone;
  }

  std::array<Range, kFew> few_{};
  Block block_;
  std::uint32_t count_ = 0;
};

}  // namespace hawser
