#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/time.hpp"
#include "engine/token_bucket.hpp"

namespace hawser {

// Time of each step of a handshake, as the budget charges it: measured by native/bench/handshake_costs.cpp,
// with about a quarter on top. docs/performance.md has the table.
struct HandshakeCosts {
  static constexpr std::chrono::nanoseconds kCookieCheck{900};
  // Per key that is tried: HAWSER names its key, netcode tries two.
  static constexpr std::chrono::nanoseconds kTokenFailed{1'200};
  static constexpr std::chrono::nanoseconds kTokenOpened{2'600};
  // CHALLENGE or DENIED, with the hash of the token.
  static constexpr std::chrono::nanoseconds kAnswer{5'000};
  // Hash of the RESPONSE and its sealed part.
  static constexpr std::chrono::nanoseconds kResponseOpened{5'000};
  // X25519, session keys, ACCEPT.
  static constexpr std::chrono::nanoseconds kSession{56'000};

  static constexpr std::chrono::nanoseconds kMaxRequest = 2 * kTokenFailed + kTokenOpened + kAnswer;
  static constexpr std::chrono::nanoseconds kMaxResponse =
      kTokenOpened + kResponseOpened + kAnswer + kSession;
};

// Work that the budget distinguishes.
enum class HandshakeWork : std::uint8_t {
  kCookie,    // check of a RESPONSE's cookie, before it may wait in the queue
  kRequest,   // REQUESTs: anybody can send them from any address
  kResponse,  // RESPONSEs whose cookie is valid: the sender receives at its address
};

// CPU time of one shard for handshakes (docs/protocol.md section 7, "Budget"). Each kind of work has a share
// of its own, so that a flood of one kind cannot stop another: a quarter for cookies, a quarter for REQUESTs,
// half for RESPONSEs. A kind may also use the share of another while that one keeps more than half of its
// burst.
class HandshakeBudget {
 public:
  // Least `burst` with which every datagram can be served.
  static constexpr std::chrono::microseconds kMinBurst{200};
  static constexpr std::chrono::microseconds kMaxBurst{8'000};

  // `burst`: work that may be done at once, kMinBurst to kMaxBurst (others are clamped). Half of it comes
  // back each millisecond.
  HandshakeBudget(std::chrono::microseconds burst, Instant now)
      : shares_{share_of(burst, 4, now), share_of(burst, 4, now), share_of(burst, 2, now)} {}

  // Whether work of at most `cost` may begin.
  [[nodiscard]] bool has(HandshakeWork work, std::chrono::nanoseconds cost, Instant now) {
    return find(work, cost, now) != nullptr;
  }

  // Takes `cost`. False (nothing taken) if it is not there.
  bool take(HandshakeWork work, std::chrono::nanoseconds cost, Instant now) {
    TokenBucket* const share = find(work, cost, now);
    return share != nullptr && share->take(units(cost), now);
  }

 private:
  static constexpr std::uint32_t kBurstsPerSecond = 500;

  static std::uint32_t units(std::chrono::nanoseconds time) {
    return static_cast<std::uint32_t>(time.count());
  }
  static TokenBucket share_of(std::chrono::microseconds burst, std::uint32_t divisor, Instant now) {
    const std::uint32_t amount = units(std::clamp(burst, kMinBurst, kMaxBurst)) / divisor;
    return TokenBucket(amount * kBurstsPerSecond, amount, now);
  }

  // The share that `cost` can be taken from; null if there is none.
  TokenBucket* find(HandshakeWork work, std::chrono::nanoseconds cost, Instant now) {
    const auto own = static_cast<std::size_t>(work);
    if (shares_[own].has(units(cost), now)) return &shares_[own];
    for (std::size_t i = 0; i < shares_.size(); ++i) {
      if (i != own && shares_[i].has(units(cost) + shares_[i].burst() / 2, now)) return &shares_[i];
    }
    return nullptr;
  }

  std::array<TokenBucket, 3> shares_;
};

}  // namespace hawser
