#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "engine/shard_steering.hpp"

namespace hawser {

// Memory that all shards of a gateway hold for messages to their peers, and its limit. Any thread may call
// any function.
class SendMemory {
 public:
  explicit SendMemory(std::size_t limit) : limit_(limit) {}

  [[nodiscard]] std::size_t limit() const { return limit_; }
  [[nodiscard]] std::size_t in_use() const { return in_use_.load(std::memory_order_relaxed); }
  // A shard that counted `before` bytes holds `now` bytes.
  void update(std::size_t before, std::size_t now) {
    in_use_.fetch_add(now - before, std::memory_order_relaxed);
  }

  // Asks a shard to disconnect its peers that hold more than their share.
  void ask(std::uint32_t shard) { asked_[shard].flag.store(true, std::memory_order_release); }
  [[nodiscard]] bool asked(std::uint32_t shard) const {
    return asked_[shard].flag.load(std::memory_order_acquire);
  }
  void clear(std::uint32_t shard) { asked_[shard].flag.store(false, std::memory_order_release); }

 private:
  // Each shard reads its own flag in every turn: on a cache line of its own.
  struct alignas(64) Asked {
    std::atomic<bool> flag = false;
  };

  std::size_t limit_;
  std::array<Asked, kMaxShards> asked_;
  alignas(64) std::atomic<std::size_t> in_use_ = 0;
};

}  // namespace hawser
