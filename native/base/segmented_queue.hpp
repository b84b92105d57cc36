#pragma once

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

#include "base/block_pool.hpp"
#include "base/bytes.hpp"
#include "base/ring.hpp"

namespace hawser {

// Queue in memory of a BlockPool whose elements keep their number for life, starting at 0, and are released
// in any order. It consists of segments of kSegmentBytes. A full segment returns to the pool as soon as all
// of its elements are released, whatever lies before or behind it. The last segment stays while others do. An
// element never moves.
template <class T, std::size_t kSegmentBytes>
class SegmentedQueue {
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= 16);
  static_assert(std::has_single_bit(kSegmentBytes) && std::has_single_bit(sizeof(T)) &&
                kSegmentBytes >= BlockPool::kLeast && sizeof(T) < kSegmentBytes);

 public:
  static constexpr std::uint64_t kPerSegment = kSegmentBytes / sizeof(T);

  explicit SegmentedQueue(BlockPool& pool) : pool_(pool) {}
  SegmentedQueue(const SegmentedQueue&) = delete;
  SegmentedQueue& operator=(const SegmentedQueue&) = delete;
  ~SegmentedQueue() {
    for (std::uint64_t at = segments_.begin(); at < segments_.end(); ++at) give_back(segments_[at]);
  }

  // Number of the next element to be appended.
  [[nodiscard]] std::uint64_t end() const { return end_; }

  // Makes room for `count` more elements; false when the pool has no memory.
  [[nodiscard]] bool reserve(std::uint64_t count) {
    const std::uint64_t last = (end_ + count - 1) / kPerSegment;
    if (segments_.empty()) shift_ = segments_.end() - end_ / kPerSegment;
    for (std::uint64_t segment = end_ / kPerSegment; count > 0 && segment <= last; ++segment) {
      const std::uint64_t at = segment + shift_;
      if (at == segments_.end() && !segments_.push(pool_, Segment{})) return false;
      if (segments_[at].data != nullptr) continue;
      segments_[at].data = pool_.acquire(kSegmentBytes).release();
      if (segments_[at].data == nullptr) return false;
    }
    return true;
  }

  // Appends one of those that were reserved, for the caller to fill.
  [[nodiscard]] T& add() {
    Segment& segment = segments_[end_ / kPerSegment + shift_];
    ++segment.live;
    return reinterpret_cast<T*>(segment.data)[end_++ % kPerSegment];
  }

  // Appends as many as were reserved.
  void append(std::span<const T> elements) {
    while (!elements.empty()) {
      Segment& segment = segments_[end_ / kPerSegment + shift_];
      const std::uint64_t place = end_ % kPerSegment;
      const auto count =
          static_cast<std::size_t>(std::min<std::uint64_t>(elements.size(), kPerSegment - place));
      copy_bytes(segment.data + place * sizeof(T), elements.data(), count * sizeof(T));
      segment.live += static_cast<std::uint32_t>(count);
      end_ += count;
      elements = elements.subspan(count);
    }
  }

  // An element below end(); null when its segment was given back. A released element may still be there.
  [[nodiscard]] T* find(std::uint64_t number) const {
    assert(number < end_);
    std::byte* const data = data_of(number / kPerSegment);
    return data == nullptr ? nullptr : reinterpret_cast<T*>(data) + number % kPerSegment;
  }
  // An element that was not released.
  [[nodiscard]] T& operator[](std::uint64_t number) const {
    assert(find(number) != nullptr);
    return *(reinterpret_cast<T*>(segments_[number / kPerSegment + shift_].data) + number % kPerSegment);
  }

  // Copies `out.size()` elements from `first` on, none of which was released.
  void copy(std::uint64_t first, std::span<T> out) const {
    while (!out.empty()) {
      const std::uint64_t place = first % kPerSegment;
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), kPerSegment - place));
      copy_bytes(out.data(), &(*this)[first], count * sizeof(T));
      first += count;
      out = out.subspan(count);
    }
  }

  // Releases the elements from `first` to `last` - 1. Each is released once, except those of segments that
  // the range covers completely: release_part() may have released any of them.
  void release(std::uint64_t first, std::uint64_t last) {
    for_each_segment(first, last, [&](std::uint64_t segment, std::uint64_t count) {
      if (data_of(segment) == nullptr) return;
      Segment& found = segments_[segment + shift_];
      found.live = count == kPerSegment ? 0 : found.live - static_cast<std::uint32_t>(count);
      if (found.live == 0 && (segment + 1) * kPerSegment <= end_) give_back(found);
    });
    drop_front();
  }

  // Releases a part of a range that release() is called for later. Gives back segments that the range covers
  // completely once all of their elements were in parts. No element is in two parts.
  void release_part(std::uint64_t first, std::uint64_t last, std::uint64_t range_first,
                    std::uint64_t range_last) {
    for_each_segment(first, last, [&](std::uint64_t segment, std::uint64_t count) {
      if (segment * kPerSegment < range_first || (segment + 1) * kPerSegment > range_last) return;
      Segment& found = segments_[segment + shift_];
      found.live -= static_cast<std::uint32_t>(count);
      if (found.live == 0) give_back(found);
    });
    drop_front();
  }

 private:
  struct Segment {
    std::byte* data = nullptr;
    std::uint32_t live = 0;  // elements that were appended and not released
  };

  // Calls visit(segment, count) with the number of elements of the range in each segment.
  template <class F>
  static void for_each_segment(std::uint64_t first, std::uint64_t last, F&& visit) {
    while (first < last) {
      const std::uint64_t segment = first / kPerSegment;
      const std::uint64_t end = std::min(last, (segment + 1) * kPerSegment);
      visit(segment, end - first);
      first = end;
    }
  }

  [[nodiscard]] std::byte* data_of(std::uint64_t segment) const {
    // Segments before the first wrap around.
    const std::uint64_t at = segment + shift_ - segments_.begin();
    return at < segments_.size() ? segments_[segment + shift_].data : nullptr;
  }

  void give_back(Segment& segment) {
    if (segment.data == nullptr) return;
    pool_.give_back(std::exchange(segment.data, nullptr), kSegmentBytes);
    segment.live = 0;
  }

  void drop_front() {
    while (!segments_.empty() && segments_.front().data == nullptr) segments_.pop();
    if (segments_.size() != 1 || segments_.front().live > 0) return;
    give_back(segments_.front());
    segments_.pop();
  }

  BlockPool& pool_;
  Ring<Segment> segments_;
  // Number of a segment's entry in segments_, minus that of the segment.
  std::uint64_t shift_ = 0;
  std::uint64_t end_ = 0;
};

}  // namespace hawser
