#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/address.hpp"
#include "base/siphash.hpp"
#include "base/slot_pool.hpp"
#include "base/time.hpp"

namespace hawser {

// Limits how many packets from addresses other than their peer's may fail to open (docs/protocol.md section
// 10). A failed open is charged to the first of three budgets that has room: the source prefix, the peer, the
// endpoint. A packet is dropped unopened when none has room.
//
// - Prefixes share bins, hashed with a secret key. A flood from one prefix leaves the others their bins.
// - Peers share rows of bins likewise. The prefix selects the bin in the row, so that a flood from one prefix
//   spends only one of a peer's bins.
// - The endpoint's budget serves whatever exceeds the other two, in order of arrival. It keeps a client found
//   whose junk comes from its own network and names its own id.
//
// Memory and work are bounded by the number of bins, however many peers, ids and prefixes a flood uses.
class ForeignBudget {
 public:
  // Failed opens a second of each bin, and at once.
  static constexpr std::uint32_t kPerPrefix = 32;
  static constexpr std::uint32_t kPerPeerAndPrefix = 8;
  static constexpr std::size_t kPrefixBins = 1024;
  static constexpr std::size_t kPeerRows = 256;
  static constexpr std::size_t kBinsPerPeer = 8;
  // Failed opens a second of the endpoint's budget, and at once.
  static constexpr std::uint32_t kShared = 50'000;
  static constexpr std::uint32_t kSharedBurst = 5'000;

  // `key`: secret and random, so that nobody can aim at the bin of another.
  explicit ForeignBudget(const SipKey& key) : key_(key) {}

  // Whether a packet for `peer` from `remote` may be opened.
  [[nodiscard]] bool has_room(const SocketAddress& remote, Handle peer, Instant now) {
    const Payers payers = payers_of(remote, peer);
    return payers.prefix.has_room(now) || payers.peer.has_room(now) || shared_.has_room(now);
  }

  // Charges a packet that failed to open, for which there was room.
  void charge(const SocketAddress& remote, Handle peer, Instant now) {
    charged_ = true;
    const Payers payers = payers_of(remote, peer);
    if (payers.prefix.has_room(now)) return payers.prefix.charge(now);
    if (payers.peer.has_room(now)) return payers.peer.charge(now);
    shared_.charge(now);
  }

  // Whether anything was charged since the last call.
  [[nodiscard]] bool take_charged() { return std::exchange(charged_, false); }

 private:
  // A rate limiter that stores one instant (the generic cell rate algorithm): when all that was charged is
  // paid back, at kInterval for each failed open.
  template <std::uint32_t kPerSecond, std::uint32_t kBurst>
  struct Bin {
    static constexpr Duration kInterval = Duration(kMicrosecondsPerSecond / kPerSecond);
    Instant paid{};

    [[nodiscard]] bool has_room(Instant now) const { return paid + kInterval <= now + kBurst * kInterval; }
    void charge(Instant now) { paid = std::max(paid, now) + kInterval; }
  };
  using PrefixBin = Bin<kPerPrefix, kPerPrefix>;
  using PeerBin = Bin<kPerPeerAndPrefix, kPerPeerAndPrefix>;
  using SharedBin = Bin<kShared, kSharedBurst>;

  // The bins that may pay for a packet.
  struct Payers {
    PrefixBin& prefix;
    PeerBin& peer;
  };
  [[nodiscard]] Payers payers_of(const SocketAddress& remote, Handle peer) {
    const std::uint64_t prefix = hash_value(key_, remote.prefix());
    const std::uint64_t row = hash_value(key_, std::uint64_t{peer.slot} << 32U | peer.generation);
    // Which prefixes share a bin differs from peer to peer.
    const std::uint64_t turn = hash_value(key_, prefix ^ row);
    return {prefixes_[prefix % kPrefixBins], peers_[row % kPeerRows][turn % kBinsPerPeer]};
  }

  SipKey key_;
  bool charged_ = false;
  SharedBin shared_;
  std::array<PrefixBin, kPrefixBins> prefixes_{};
  std::array<std::array<PeerBin, kBinsPerPeer>, kPeerRows> peers_{};
};

}  // namespace hawser
