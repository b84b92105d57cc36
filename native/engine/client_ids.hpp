#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>

#include "base/hash_map.hpp"
#include "base/time.hpp"
#include "engine/peer_reference.hpp"

namespace hawser {

// What becomes of a client id that is connected when it connects again: docs/protocol.md section 7, "Same
// client id".
enum class SameClientPolicy : std::uint8_t { kReplace, kReject };

enum class ClaimVerdict : std::uint8_t {
  kClaimed,
  kReplaces,  // claimed; the peer that held the id before must go
  kRefused,   // the id is held, and not to be replaced
  kFull,      // as many peers as allowed are connected
};

struct Claim {
  ClaimVerdict verdict = ClaimVerdict::kClaimed;
  PeerReference replaced;  // for kReplaces
};

// The client ids of all connected peers, and with them the peer limit. Any thread may call anything.
class ClientIds {
 public:
  // `key`: secret and random.
  ClientIds(const SipKey& key, std::uint32_t max_peers, SameClientPolicy policy)
      : policy_(policy), max_peers_(max_peers), holders_(key, max_peers) {}

  // Who has a place keeps it. At most what the constructor was given.
  void set_max_peers(std::uint32_t max_peers);
  [[nodiscard]] std::uint32_t max_peers() const;

  // What `claim` would say, without claiming.
  [[nodiscard]] ClaimVerdict would_claim(std::uint64_t client_id,
                                         std::optional<WallTime> token_created) const;

  // Takes the client id and a place among max_peers for a peer; with kReplaces it is the old peer's place. A
  // peer whose token does not say when it was created replaces nobody, and any other may replace it.
  [[nodiscard]] Claim claim(std::uint64_t client_id, std::optional<WallTime> token_created,
                            PeerReference peer);

  // Gives both back if this peer still holds them; a replaced one does not.
  void release(std::uint64_t client_id, PeerReference peer);

  // Peers that hold an id.
  [[nodiscard]] std::uint32_t connected() const;
  // Memory held, in bytes.
  [[nodiscard]] std::size_t allocated_bytes() const;

 private:
  struct Holder {
    WallTime token_created;  // kUnknown when the token does not say
    PeerReference peer;
  };

  // Before any time, so that whoever knows replaces.
  static constexpr WallTime kUnknown = WallTime::min();

  [[nodiscard]] ClaimVerdict judge(const Holder* holder, std::optional<WallTime> token_created) const;

  SameClientPolicy policy_;
  mutable std::mutex mutex_;
  std::uint32_t max_peers_;
  HashMap<std::uint64_t, Holder> holders_;
};

}  // namespace hawser
