#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/hash_index.hpp"
#include "base/siphash.hpp"
#include "base/slot_pool.hpp"
#include "engine/peer.hpp"
#include "wire/connection_id.hpp"

namespace hawser {

// Finds the peer of a packet by the ids that were issued to it. The ids are in the peers themselves
// (Peer::issued): here are eight bytes for each and the room to grow.
class PeersById {
  // Whether the peer in a slot has the id.
  struct Holds {
    SlotPool<Peer>& peers;
    const ConnectionId& id;

    bool operator()(std::uint32_t slot) const {
      const Peer& peer = *peers.at(slot);
      const auto issued = std::span(peer.issued).first(peer.issued_count);
      return std::ranges::find(issued, id, &IssuedId::id) != issued.end();
    }
  };

 public:
  // `key`: secret and random. `peers` outlives this.
  PeersById(const SipKey& key, std::size_t max_ids, SlotPool<Peer>& peers)
      : key_(key), peers_(peers), index_(max_ids) {}

  [[nodiscard]] std::size_t allocated_bytes() const { return index_.allocated_bytes(); }

  // The peer that the id is issued to; null when it is to none.
  [[nodiscard]] Peer* find(const ConnectionId& id) {
    const std::uint32_t* const slot = index_.find(hash_value(key_, id), Holds{peers_, id});
    return slot != nullptr ? peers_.at(*slot) : nullptr;
  }

  // Two steps that ask for the memory that find() and its caller are going to touch. With several ids, the
  // first step of all of them comes before the second: then all are waited for at once.
  [[nodiscard]] std::uint64_t prefetch_entry(const ConnectionId& id) const {
    const std::uint64_t hash = hash_value(key_, id);
    index_.prefetch(hash);
    return hash;
  }
  void prefetch_peer(std::uint64_t hash) {
    // Whose hash is the same in 31 bits is nearly always the one.
    const std::uint32_t* const slot = index_.find(hash, [](std::uint32_t) { return true; });
    if (slot != nullptr) peers_.at(*slot)->prefetch();
  }

  // To be called when the id, which no peer has, is added to the peer's. False when there is no room.
  [[nodiscard]] bool insert(const ConnectionId& id, const Peer& peer) {
    return index_.insert(hash_value(key_, id), peers_.handle_of(peer).slot);
  }

  // To be called before the id is removed from its peer's.
  void erase(const ConnectionId& id) {
    const bool erased = index_.erase(hash_value(key_, id), Holds{peers_, id});
    assert(erased && "the id is issued");
    static_cast<void>(erased);
  }

 private:
  SipKey key_;
  SlotPool<Peer>& peers_;
  HashIndex index_;
};

}  // namespace hawser
