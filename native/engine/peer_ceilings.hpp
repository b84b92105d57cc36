#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/time.hpp"
#include "engine/token_bucket.hpp"

namespace hawser {

// How many packets and bytes a second are taken from one peer; 0 of either for no ceiling. Counted on packets
// that authenticated.
class PeerCeilings {
 public:
  // No ceiling.
  PeerCeilings() : PeerCeilings(0, 0, 0, Instant()) {}
  // A second's worth may come at once, and one datagram of `longest` bytes always, however low the ceiling.
  PeerCeilings(std::uint32_t packets, std::uint32_t bytes, std::uint32_t longest, Instant now)
      : packets_(packets, packets, now), bytes_(bytes, std::max(bytes, longest), now) {}

  // Whether a packet of `size` bytes may be taken.
  [[nodiscard]] bool take(std::size_t size, Instant now) {
    if (packets_.rate() != 0 && !packets_.take(1, now)) return false;
    return bytes_.rate() == 0 || bytes_.take(static_cast<std::uint32_t>(size), now);
  }

 private:
  TokenBucket packets_;
  TokenBucket bytes_;
};
static_assert(sizeof(PeerCeilings) == 2 * sizeof(TokenBucket));

}  // namespace hawser
