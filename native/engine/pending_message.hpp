#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/block_pool.hpp"
#include "base/bytes.hpp"
#include "base/range_set.hpp"
#include "engine/receive_memory.hpp"

namespace hawser {

// A received message that cannot be delivered yet: parts of it are missing, messages before it are missing,
// or its channel is paused. The memory for all of it is taken with its first part, so that a message which
// has been begun can always be finished.
class PendingMessage {
 public:
  // Maximum number of pieces that do not touch. Messages cut into parts of 128 bytes or more never reach it.
  static constexpr std::size_t max_ranges(std::uint32_t total) {
    return std::min<std::size_t>(64 + total / 256, 16 * 1024);
  }

  enum class Added : std::uint8_t { kDone, kNoMemory, kTooMany };

  explicit PendingMessage(std::uint32_t total) : ranges_(total), total_(total) {}

  [[nodiscard]] std::uint32_t total() const { return total_; }
  [[nodiscard]] bool complete() const { return complete_; }
  [[nodiscard]] Bytes bytes() const { return Bytes(data_.data(), complete_ ? total_ : 0); }
  // Bytes that have arrived.
  [[nodiscard]] std::uint32_t received() const { return complete_ ? total_ : ranges_.received(); }

  // Memory for the bytes of a message that arrives in parts. Its last part needs no more.
  static constexpr std::size_t memory_for(std::uint32_t total) {
    return BlockPool::size_for(total) + RangeSet::memory_for(total);
  }

  // Takes the bytes of `data` from `offset` on that are missing; offset + data.size() <= total(). A failure
  // changes nothing. `pool` is the same in each call.
  Added add(BlockPool& pool, std::uint32_t offset, Bytes data) {
    if (complete_) return Added::kDone;
    const auto end = static_cast<std::uint32_t>(offset + data.size());
    assert(end >= offset && end <= total_);
    if (data.size() == total_) {
      // The bytes that came first count: only what is missing is copied.
      if (ranges_.received() == 0) return add_whole(pool, data);
    } else if (data.empty()) {
      return Added::kDone;
    }
    if (!data_) {
      data_ = pool.acquire(total_);
      if (!data_) return Added::kNoMemory;
      if (!ranges_.reserve(pool)) {
        data_.reset();
        return Added::kNoMemory;
      }
    }
    const RangeSet::Added added =
        ranges_.add(pool, max_ranges(total_), offset, end, [&](std::uint32_t from, std::uint32_t to) {
          std::memcpy(data_.data() + from, data.data() + (from - offset), to - from);
        });
    if (added == RangeSet::Added::kNoMemory) return Added::kNoMemory;
    if (added == RangeSet::Added::kTooMany) return Added::kTooMany;
    complete_ = ranges_.complete();
    if (complete_) ranges_.release();
    return Added::kDone;
  }

 private:
  Added add_whole(BlockPool& pool, Bytes data) {
    if (total_ > 0) {
      data_ = pool.acquire(total_);
      if (!data_) return Added::kNoMemory;
      std::memcpy(data_.data(), data.data(), total_);
    }
    complete_ = true;
    return Added::kDone;
  }

  Block data_;
  RangeSet ranges_;
  std::uint32_t total_;
  bool complete_ = false;
};

}  // namespace hawser
