#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "base/hash_map.hpp"
#include "base/time.hpp"
#include "crypto/hash.hpp"
#include "crypto/key_schedule.hpp"
#include "engine/peer_reference.hpp"

namespace hawser {

// The answer of ConsumedCookies.
struct CookieUse {
  enum class Verdict : std::uint8_t {
    kFresh,         // not consumed before; after `consume`: consumed now
    kSameResponse,  // consumed by this very RESPONSE
    kOther,         // consumed by another RESPONSE
    kFull,          // not consumed, and the table has no room
  };
  Verdict verdict = Verdict::kFresh;
  PeerReference session;  // the session that consumed it, for kSameResponse
};

// The cookies that have opened a session, remembered for six seconds: longer than any cookie lives. A full
// table refuses and never forgets early. Any thread may call anything. Memory goes back whenever the table
// runs empty.
class ConsumedCookies {
 public:
  static constexpr Duration kRemembered = std::chrono::seconds(6);

  // `key`: secret and random. At most `max` cookies at once.
  ConsumedCookies(const SipKey& key, std::uint32_t max) : places_(key, max) {}

  // The shard of the session that consumed the cookie. A hint, which costs little and never waits: nothing
  // when none did, and at times when one did, while another thread is here. That is harmless: whoever then
  // goes on is told by find() or consume(), and the client repeats its RESPONSE.
  [[nodiscard]] std::optional<std::uint32_t> consumer_of(const CookieMac& cookie, Instant now);

  // Looks, and changes nothing.
  [[nodiscard]] CookieUse find(const CookieMac& cookie, const Hash256& response, Instant now);

  // Consumes the cookie for a session if nobody has: atomic among all callers.
  [[nodiscard]] CookieUse consume(const CookieMac& cookie, const Hash256& response, PeerReference session,
                                  Instant now);

  // Cookies remembered at `now`.
  [[nodiscard]] std::size_t size(Instant now);
  // Memory held, in bytes.
  [[nodiscard]] std::size_t allocated_bytes() const;

 private:
  struct Entry {
    CookieMac cookie;
    Hash256 response;
    PeerReference session;
    Instant forget_at;
  };

  [[nodiscard]] Entry& entry(std::uint32_t number) { return ring_[number & (ring_.size() - 1)]; }
  [[nodiscard]] CookieUse look(const CookieMac& cookie, const Hash256& response);
  void forget_expired(Instant now);
  void grow_ring();

  std::atomic<bool> any_ = false;  // what consumer_of() looks at before it looks for the mutex
  mutable std::mutex mutex_;
  HashMap<CookieMac, std::uint32_t> places_;  // numbers of entries
  // A queue in order of consumption, so of expiry; its size is 0 or a power of two. Entry n is at n modulo
  // that size.
  std::vector<Entry> ring_;
  std::uint32_t oldest_ = 0;
  std::uint32_t end_ = 0;
};

}  // namespace hawser
