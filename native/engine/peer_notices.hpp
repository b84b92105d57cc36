#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/slot_pool.hpp"
#include "engine/peer_reference.hpp"
#include "engine/shard_steering.hpp"
#include "engine/token_history.hpp"

namespace hawser {

// Decision that another peer of the gateway took for a peer.
struct PeerNotice {
  Handle peer;
  // Set: the token history's answer, for a peer that took over the reservation of the one that asked. Not
  // set: a newer session has replaced the peer, which must end.
  std::optional<ConsumeVerdict> verdict;
};

// Notices for peers, kept until the shard of the peer takes them. All functions may be called from any
// thread. Each peer gets at most one notice of each kind, so the number of peers bounds the lists.
class PeerNotices {
 public:
  void add(std::uint32_t number, const PeerNotice& notice) {
    Shard& shard = shards_[number];
    const std::lock_guard lock(shard.mutex);
    shard.notices.push_back(notice);
    shard.waiting.store(true, std::memory_order_release);
  }

  // Returns true if take() has something for the shard. Takes no lock.
  [[nodiscard]] bool waiting(std::uint32_t number) const {
    return shards_[number].waiting.load(std::memory_order_acquire);
  }

  // Swaps the shard's notices with `out`, which must be empty. Their peers may no longer exist.
  void take(std::uint32_t number, std::vector<PeerNotice>& out) {
    Shard& shard = shards_[number];
    const std::lock_guard lock(shard.mutex);
    std::swap(shard.notices, out);
    shard.waiting.store(false, std::memory_order_release);
  }

 private:
  // Each shard polls its own flag, which therefore has a cache line of its own.
  struct alignas(64) Shard {
    std::atomic<bool> waiting = false;
    std::mutex mutex;
    std::vector<PeerNotice> notices;
  };

  std::array<Shard, kMaxShards> shards_;
};

}  // namespace hawser
