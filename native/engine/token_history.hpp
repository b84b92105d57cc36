#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "base/time.hpp"
#include "crypto/key_schedule.hpp"
#include "engine/expiring_map.hpp"

namespace hawser {

enum class ConsumeVerdict : std::uint8_t {
  kConsumed,
  kAlreadyUsed,
  kHistoryFull,  // full, or the wall clock went back over a time that is forgotten already
  kAskOutside,   // an external history decides (GatewayState)
};

// The single-use tokens that were consumed, each remembered until a given time. A full history refuses and
// never forgets early. Any thread may call anything.
//
// A token is known by half of its id: 128 bits, so that finding two alike takes 2^64 tokens, and would only
// get one refused.
class TokenHistory {
 public:
  // `key`: secret and random. At most `max` tokens at once.
  TokenHistory(const SipKey& key, std::uint32_t max) : tokens_(key, max) {}

  // Whether the token was consumed and is not forgotten yet.
  [[nodiscard]] bool contains(const TokenId& token, WallTime now);

  // Consumes a token, if nobody has: atomic among all callers. It is remembered until the wall clock passes
  // `keep_until`, and up to a second longer. Time that was seen once counts as passed even if the wall clock
  // is set back: what may have been forgotten then is refused with kHistoryFull.
  [[nodiscard]] ConsumeVerdict consume(const TokenId& token, WallTime keep_until, WallTime now);

  // Tokens remembered at `now`.
  [[nodiscard]] std::size_t size(WallTime now);
  // Memory held, in bytes.
  [[nodiscard]] std::size_t allocated_bytes() const;

 private:
  using ShortId = std::array<std::byte, 16>;
  struct Consumed {};

  static ShortId shorten(const TokenId& token);

  mutable std::mutex mutex_;
  ExpiringMap<ShortId, Consumed> tokens_;
};

}  // namespace hawser
