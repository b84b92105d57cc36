#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>

#include "base/hash_map.hpp"
#include "base/time.hpp"
#include "crypto/key_schedule.hpp"
#include "engine/attempt_order.hpp"
#include "engine/peer_reference.hpp"

namespace hawser {

// Rule for an attempt whose client id is connected: docs/protocol.md section 7, "Same client id".
enum class SameClientPolicy : std::uint8_t { kReplace, kReject };

enum class ReserveVerdict : std::uint8_t {
  kReserved,
  // Reserved, and an older attempt with the same single-use token is being asked about. Its answer is passed
  // on to this peer.
  kReservedAndAsked,
  kRefused,  // a newer attempt has the client id, or the policy protects the peer that has it
  kFull,     // all places are taken
};

enum class SettleOutcome : std::uint8_t {
  kConnected,  // the reservation became the session's; Settlement::peer was connected before, if set
  kReleased,   // the reservation is gone, as asked for
  kPassedOn,   // Settlement::peer took the reservation over, with the same token: the answer is for it
  kLost,       // a newer attempt took the reservation over
};

struct Settlement {
  SettleOutcome outcome = SettleOutcome::kLost;
  std::optional<PeerReference> peer;
};

// Client ids and places of one gateway: who is connected, and who has reserved one of both. At most one peer
// is connected and at most one has a reservation for each id. An id takes one place, whether one or both of
// them have it. All functions may be called from any thread.
class ClientIds {
 public:
  // `key`: secret and random. `clock_skew`: see is_newer().
  ClientIds(const SipKey& key, std::uint32_t max_peers, SameClientPolicy policy,
            std::chrono::milliseconds clock_skew)
      : policy_(policy),
        clock_skew_(clock_skew),
        max_peers_(max_peers),
        holders_(key, max_peers),
        reservations_(key, max_peers) {}

  // Sets the number of places, at most the constructor's. Peers that have a place keep it.
  void set_max_peers(std::uint32_t max_peers);
  [[nodiscard]] std::uint32_t max_peers() const;

  // Returns what reserve() would, without reserving; never kReservedAndAsked.
  [[nodiscard]] ReserveVerdict would_reserve(std::uint64_t client_id, const AttemptOrder& order) const;

  // Reserves the client id and a place for a peer. `token`: id of its single-use token, whose history the
  // caller asks unless the result is kReservedAndAsked; null without one. Takes over the reservation of an
  // older attempt with the same client id, and reuses the place of its connected peer. A peer whose token
  // does not carry its creation time never replaces a connected one.
  [[nodiscard]] ReserveVerdict reserve(std::uint64_t client_id, const AttemptOrder& order,
                                       const TokenId* token, PeerReference peer);

  // Ends a reservation with the answer about its token. `accepted`: the session connects, and takes over from
  // the peer that was connected before. Otherwise the reservation is released.
  [[nodiscard]] Settlement settle(std::uint64_t client_id, PeerReference peer, bool accepted);

  // Releases what the peer still has of the client id: the reservation, or the id of a connected peer.
  void release(std::uint64_t client_id, PeerReference peer);

  // Number of connected peers.
  [[nodiscard]] std::uint32_t connected() const;
  // Number of places taken by connected peers and reservations.
  [[nodiscard]] std::uint32_t places() const;
  // Memory held, in bytes.
  [[nodiscard]] std::size_t allocated_bytes() const;

 private:
  struct Holder {
    AttemptOrder order;
    PeerReference peer;
  };
  struct Reservation {
    AttemptOrder order;
    PeerReference peer;
    TokenId token;
    // Peer that the token history answers about this token: `peer`, or one whose reservation it took over.
    std::optional<PeerReference> asked;
  };

  [[nodiscard]] ReserveVerdict judge(const Holder* holder, const Reservation* reservation,
                                     const AttemptOrder& order) const;
  void erase_reservation(std::uint64_t client_id);
  // Gives the place back if neither a peer nor a reservation has the client id.
  void return_place(std::uint64_t client_id);

  SameClientPolicy policy_;
  std::chrono::milliseconds clock_skew_;
  mutable std::mutex mutex_;
  std::uint32_t max_peers_;
  std::uint32_t places_ = 0;
  HashMap<std::uint64_t, Holder> holders_;
  HashMap<std::uint64_t, Reservation> reservations_;
};

}  // namespace hawser
