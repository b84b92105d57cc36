#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/block_pool.hpp"

namespace hawser {

// What memory for received messages is for. Each kind has a part of its own, so that none takes the place of
// another (docs/protocol.md section 12, Memory).
enum class MemoryKind : std::uint8_t {
  kWhole,  // messages that arrived whole, and the bookkeeping of all
  kParts,  // messages of at most kLongestShort bytes that arrive in parts
  kLong,   // longer ones
};
inline constexpr std::size_t kMemoryKinds = 3;

// How much memory of each kind something takes.
struct MemoryNeed {
  std::array<std::size_t, kMemoryKinds> bytes{};

  [[nodiscard]] std::size_t& of(MemoryKind kind) { return bytes[static_cast<std::size_t>(kind)]; }
  [[nodiscard]] bool empty() const {
    return std::ranges::all_of(bytes, [](std::size_t each) { return each == 0; });
  }
  MemoryNeed& operator+=(const MemoryNeed& other) {
    for (std::size_t kind = 0; kind < kMemoryKinds; ++kind) bytes[kind] += other.bytes[kind];
    return *this;
  }
};

// Memory of one endpoint for received messages that cannot be delivered yet.
class ReceiveMemory {
 public:
  static constexpr std::uint32_t kLongestShort = 64 * 1024;

  // `max_bytes`: maximum in all. `max_connections`: divide what is reserved for the next messages of each.
  // `max_kept`: free memory of each kind that is not given back.
  ReceiveMemory(std::size_t max_bytes, std::size_t max_connections, std::size_t max_kept)
      : unit_(max_bytes / 16),
        share_(unit_ / max_connections),
        pools_{BlockPool(kAll[0] * unit_, max_kept), BlockPool(kAll[1] * unit_, max_kept),
               BlockPool(kAll[2] * unit_, max_kept)} {}

  [[nodiscard]] BlockPool& of(MemoryKind kind) { return pools_[static_cast<std::size_t>(kind)]; }
  [[nodiscard]] static MemoryKind kind_of(std::uint32_t length) {
    return length > kLongestShort ? MemoryKind::kLong : MemoryKind::kParts;
  }
  // Memory for the bytes of a message that arrives in parts.
  [[nodiscard]] BlockPool& for_parts(std::uint32_t length) { return of(kind_of(length)); }
  [[nodiscard]] MemoryNeed in_use() const {
    MemoryNeed used;
    for (std::size_t kind = 0; kind < kMemoryKinds; ++kind) used.bytes[kind] = pools_[kind].in_use();
    return used;
  }
  [[nodiscard]] std::size_t bytes_in_use() const { return sum(&BlockPool::in_use); }
  // The sum of the peaks of all kinds, which need not have come at the same time.
  [[nodiscard]] std::size_t peak() const { return sum(&BlockPool::peak); }
  [[nodiscard]] std::size_t allocated_bytes() const { return sum(&BlockPool::allocated_bytes); }
  // Free memory, in bytes.
  [[nodiscard]] std::size_t kept() const { return sum(&BlockPool::kept); }
  void release_idle() {
    for (BlockPool& pool : pools_) pool.release_idle();
  }

  // Whether a connection that holds `held` may take `needed` for messages behind one that is missing. None
  // may have more than a 32nd of what is left for these, so that it takes many connections to leave nothing.
  [[nodiscard]] bool may_take_ahead(const MemoryNeed& held, const MemoryNeed& needed) const {
    return every_kind([&](std::size_t kind) {
      return needed.bytes[kind] == 0 ||
             held.bytes[kind] + needed.bytes[kind] <= left(kind, kAhead[kind]) / kAheadParts;
    });
  }
  // Whether it may for the next messages of its channels.
  [[nodiscard]] bool may_take_next(const MemoryNeed& held, const MemoryNeed& needed) const {
    return every_kind([&](std::size_t kind) {
      return needed.bytes[kind] <= left(kind, kNext[kind]) ||
             (kNext[kind] < kAll[kind] && held.bytes[kind] + needed.bytes[kind] <= share_);
    });
  }

 private:
  // In 16ths of the whole, by kind: all of it, what the next messages may use, and of that the ones ahead.
  // The rest is shares.
  static constexpr std::array<std::size_t, kMemoryKinds> kAll = {4, 7, 5};
  static constexpr std::array<std::size_t, kMemoryKinds> kNext = {3, 6, 5};
  static constexpr std::array<std::size_t, kMemoryKinds> kAhead = {2, 1, 2};
  static constexpr std::size_t kAheadParts = 32;

  [[nodiscard]] std::size_t left(std::size_t kind, std::size_t units) const {
    const std::size_t used = pools_[kind].in_use();
    return units * unit_ > used ? units * unit_ - used : 0;
  }
  template <class F>
  static bool every_kind(F&& holds) {
    return holds(0) && holds(1) && holds(2);
  }
  [[nodiscard]] std::size_t sum(std::size_t (BlockPool::*figure)() const) const {
    std::size_t total = 0;
    for (const BlockPool& pool : pools_) total += (pool.*figure)();
    return total;
  }

  std::size_t unit_;
  std::size_t share_;
  std::array<BlockPool, kMemoryKinds> pools_;
};

}  // namespace hawser
