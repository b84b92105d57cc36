#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "base/slot_pool.hpp"
#include "engine/peer_reference.hpp"
#include "engine/shard_steering.hpp"

namespace hawser {

// Peers whose client id was taken over by a peer of another shard: their own shard has to end them. Any
// thread may call anything. A peer is replaced at most once, so no list is longer than its shard has peers.
class ReplacedPeers {
 public:
  void add(PeerReference peer) {
    Shard& shard = shards_[peer.shard];
    const std::lock_guard lock(shard.mutex);
    shard.peers.push_back(peer.peer);
    shard.waiting.store(true, std::memory_order_release);
  }

  // Whether take() has something for the shard; costs next to nothing.
  [[nodiscard]] bool waiting(std::uint32_t shard) const {
    return shards_[shard].waiting.load(std::memory_order_acquire);
  }

  // Swaps the shard's peers for `out`, which is empty. They may be gone by now.
  void take(std::uint32_t number, std::vector<Handle>& out) {
    Shard& shard = shards_[number];
    const std::lock_guard lock(shard.mutex);
    std::swap(shard.peers, out);
    shard.waiting.store(false, std::memory_order_release);
  }

 private:
  // Each shard looks at its own flag all the time: on a cache line of its own.
  struct alignas(64) Shard {
    std::atomic<bool> waiting = false;
    std::mutex mutex;
    std::vector<Handle> peers;
  };

  std::array<Shard, kMaxShards> shards_;
};

}  // namespace hawser
