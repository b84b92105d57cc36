#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "base/time.hpp"

namespace hawser {

// Creation time of a token that does not carry one. Counts as equally old as any other.
inline constexpr WallTime kUnknownCreation = WallTime::min();
// Number of an attempt whose RESPONSE has not arrived: newer than all others of the same instant.
inline constexpr std::uint64_t kNoAttemptNumber = UINT64_MAX;

// Position of an attempt to connect among all attempts with one client id at one gateway process.
struct AttemptOrder {
  WallTime token_created = kUnknownCreation;
  // HAWSER: time in the cookie. netcode: when the RESPONSE was accepted.
  Instant challenged{};
  // Order in which RESPONSEs were accepted; decides between attempts of the same instant.
  std::uint64_t number = kNoAttemptNumber;
};

// Returns true if `attempt` is newer than `other`. Tokens created less than `clock_skew` apart count as
// equally old, because clocks of different backends may have made them; then the time of the attempt decides.
[[nodiscard]] inline bool is_newer(const AttemptOrder& attempt, const AttemptOrder& other,
                                   std::chrono::milliseconds clock_skew) {
  if (attempt.token_created != kUnknownCreation && other.token_created != kUnknownCreation) {
    const auto difference = attempt.token_created - other.token_created;
    const auto least = std::max(clock_skew, std::chrono::milliseconds(1));
    if (difference >= least) return true;
    if (difference <= -least) return false;
  }
  if (attempt.challenged != other.challenged) return attempt.challenged > other.challenged;
  return attempt.number > other.number;
}

}  // namespace hawser
