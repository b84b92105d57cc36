#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "base/address.hpp"
#include "base/time.hpp"
#include "crypto/aead.hpp"
#include "engine/expiring_map.hpp"

namespace hawser::netcode {

// The tag of a token's sealed private part: what the standard knows a used token by. Tokens of different
// contents or nonces have different ones, and who has no key cannot make one.
using TokenTag = std::array<std::byte, kTagSize>;

// How a token was used before.
enum class TokenUse : std::uint8_t {
  kFirst,       // not at all: noted, and from now on it is that source's alone
  kSameSource,  // the same source asks again, and has not been connected with it
  kUsed,        // it is another source's, or was consumed
  kFull,  // no room, or the wall clock went back over a time that is forgotten already; nothing is noted
};

// The tokens with which clients came, each remembered until a given time. A full history refuses and never
// forgets early. Any thread may call anything.
class TokenHistory {
 public:
  // `key`: secret and random. At most `max` tokens at once.
  TokenHistory(const SipKey& key, std::uint32_t max) : tokens_(key, max) {}

  // A REQUEST with the token came from `source`: atomic among all callers. The first one has the token
  // remembered until the wall clock passes `keep_until`, and up to a second longer; later ones do not change
  // that. Time that was seen once counts as passed even if the wall clock is set back.
  [[nodiscard]] TokenUse use(const TokenTag& tag, const SocketAddress& source, WallTime keep_until,
                             WallTime now);

  // The token has connected somebody: nobody may use it again. False when that was so already, or it is not
  // known (any more): of all callers with a token only one is told true.
  [[nodiscard]] bool consume(const TokenTag& tag, WallTime now);

  // Tokens remembered at `now`.
  [[nodiscard]] std::size_t size(WallTime now);
  // Memory held, in bytes.
  [[nodiscard]] std::size_t allocated_bytes() const;

 private:
  struct Use {
    SocketAddress source;
    bool consumed = false;
  };

  mutable std::mutex mutex_;
  ExpiringMap<TokenTag, Use> tokens_;
};

}  // namespace hawser::netcode
