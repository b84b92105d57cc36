#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "base/block_pool.hpp"
#include "base/bytes.hpp"
#include "base/range_set.hpp"

namespace hawser {

// A received message that cannot be delivered yet: parts of it are missing, or messages before it, or its
// channel is paused. The memory for all of it is taken with its first part, so that a message which has been
// begun can be finished.
class PendingMessage {
 public:
  // How many pieces without contact a message may come in. Whoever cuts its messages into parts of 128 bytes
  // or more needs fewer; what comes in more pieces was cut up to cost, not to arrive.
  static constexpr std::size_t max_ranges(std::uint32_t total) {
    return std::min<std::size_t>(64 + total / 256, 16 * 1024);
  }

  enum class Added : std::uint8_t { kDone, kNoMemory, kTooMany };

  explicit PendingMessage(std::uint32_t total) : total_(total) {}

  [[nodiscard]] std::uint32_t total() const { return total_; }
  [[nodiscard]] bool complete() const { return complete_; }
  [[nodiscard]] Bytes bytes() const { return Bytes(data_.data(), complete_ ? total_ : 0); }

  // How much memory of the pool taking `parts` more parts may need at most.
  [[nodiscard]] std::size_t memory_for(std::size_t parts) const {
    if (complete_) return 0;
    return (data_ ? 0 : BlockPool::size_for(total_)) + ranges_.memory_for(parts);
  }
  // ... and for the first ones of a message.
  static constexpr std::size_t memory_for_new(std::uint32_t total) {
    return BlockPool::size_for(sizeof(PendingMessage)) + BlockPool::size_for(total);
  }

  // Takes the bytes of data from `offset` on that are not there yet; offset + data.size() <= total(). On a
  // failure nothing is changed.
  Added add(BlockPool& pool, std::uint32_t offset, Bytes data) {
    if (complete_) return Added::kDone;
    const auto end = static_cast<std::uint32_t>(offset + data.size());
    assert(end >= offset && end <= total_);
    if (offset < end && !data_) {
      data_ = pool.acquire(total_);
      if (!data_) return Added::kNoMemory;
    }
    if (offset < end) {
      const RangeSet::Added added =
          ranges_.add(pool, max_ranges(total_), offset, end, [&](std::uint32_t from, std::uint32_t to) {
            std::memcpy(data_.data() + from, data.data() + (from - offset), to - from);
          });
      if (added == RangeSet::Added::kNoMemory) return Added::kNoMemory;
      if (added == RangeSet::Added::kTooMany) return Added::kTooMany;
    }
    complete_ = ranges_.covers(total_);
    return Added::kDone;
  }

 private:
  Block data_;
  RangeSet ranges_;
  std::uint32_t total_;
  bool complete_ = false;
};
static_assert(sizeof(PendingMessage) <= 128, "the block it lies in");

}  // namespace hawser
