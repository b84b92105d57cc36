#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>

#include "base/index_set.hpp"
#include "base/random.hpp"
#include "base/time.hpp"
#include "crypto/aead.hpp"
#include "engine/netcode_token_history.hpp"

namespace hawser::netcode {

struct GatewayOptions {
  // The longest lifetime of the tokens that backends mint.
  std::chrono::milliseconds token_lifetime{3'600'000};
};

// What a REQUEST's expire time says about its token.
enum class TokenAge : std::uint8_t {
  kAccepted,
  kExpired,
  kTooLong,   // lives longer than any token does
  kPredates,  // may have been minted, and used, before this process started
};

// What all shards of one gateway share to serve netcode clients. Every function is safe to call from any
// shard's thread.
class Gateway {
 public:
  // `started`: the wall clock now. `restart_guard`: as hawser::GatewayOptions. `clock_skew`: maximum
  // difference between the clocks of backends and this one's. `max_clients`: number of client indexes.
  Gateway(const GatewayOptions& options, WallTime started,
          std::optional<std::chrono::milliseconds> restart_guard, std::chrono::milliseconds clock_skew,
          std::uint32_t max_tokens, std::uint32_t max_clients, RandomSource& random);

  // Judges an expire time in Unix seconds (docs/netcode.md, "A token is used once").
  [[nodiscard]] TokenAge judge(std::uint64_t expire, WallTime now) const;

  // A REQUEST with the token came from `source`.
  [[nodiscard]] TokenUse use(const TokenTag& tag, const SocketAddress& source, std::uint64_t expire,
                             WallTime now);
  // The token connects somebody: nobody may use it again. False when it has done so before.
  [[nodiscard]] bool consume(const TokenTag& tag, WallTime now) { return history_.consume(tag, now); }

  // Seals challenge tokens; random for each process.
  [[nodiscard]] const PacketKey& challenge_key() const { return challenge_key_; }
  // From zero.
  [[nodiscard]] std::uint64_t next_challenge_sequence() {
    return challenge_sequence_.fetch_add(1, std::memory_order_relaxed);
  }
  // Of CHALLENGE and DENIED, which are sealed under the key that the client's session will have: from
  // somewhere in the upper half of all numbers, so that neither this process nor another one of the same
  // tokens repeats a number.
  [[nodiscard]] std::uint64_t next_global_sequence() {
    return global_sequence_.fetch_add(1, std::memory_order_relaxed);
  }

  // The lowest client index that is free, and taken from now on; nothing when all are taken. A place among
  // the gateway's peers does not promise one: a peer of HAWSER takes that of a client which still has its
  // index, on another shard.
  [[nodiscard]] std::optional<std::uint32_t> take_client_index();
  void release_client_index(std::uint32_t index);
  // Memory held for tokens, in bytes; indexes take an eighth of a byte each.
  [[nodiscard]] std::size_t allocated_bytes() const { return history_.allocated_bytes(); }

 private:
  std::chrono::milliseconds token_lifetime_;
  std::chrono::milliseconds clock_skew_;
  std::uint32_t max_clients_;
  // Tokens that expire before this may be from before the start.
  std::optional<WallTime> first_expire_;
  PacketKey challenge_key_;
  std::atomic<std::uint64_t> challenge_sequence_ = 0;
  std::atomic<std::uint64_t> global_sequence_;
  TokenHistory history_;
  std::mutex indexes_mutex_;
  IndexSet released_indexes_;
  std::uint32_t next_index_ = 0;  // the lowest that was never taken
};

}  // namespace hawser::netcode
