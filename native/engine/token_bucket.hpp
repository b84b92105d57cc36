#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "base/time.hpp"

namespace hawser {

// A rate limiter that counts in millionths of a unit, of which each microsecond brings exactly `rate`: no
// rounding, so no drift however often it is asked.
class TokenBucket {
 public:
  // Allows `rate` units per second on average and `burst` at once; full at first. A rate of 0 never refills.
  TokenBucket(std::uint32_t rate, std::uint32_t burst, Instant now)
      : level_(capacity(burst)), updated_(now), rate_(rate), burst_(burst) {}

  // Units per second.
  [[nodiscard]] std::uint32_t rate() const { return rate_; }
  // Units at once.
  [[nodiscard]] std::uint32_t burst() const { return burst_; }

  // Whether `take` would succeed.
  [[nodiscard]] bool has(std::uint32_t amount, Instant now) {
    refill(now);
    return capacity(amount) <= level_;
  }

  // Takes `amount` units if they are there; false (nothing taken) otherwise. A `now` before the last one
  // brings nothing and takes nothing away.
  [[nodiscard]] bool take(std::uint32_t amount, Instant now) {
    refill(now);
    const std::uint64_t cost = capacity(amount);
    if (cost > level_) return false;
    level_ -= cost;
    return true;
  }

 private:
  static constexpr std::uint64_t kScale = 1'000'000;
  static constexpr std::uint64_t capacity(std::uint32_t units) { return units * kScale; }

  void refill(Instant now) {
    if (now <= updated_) return;
    const auto elapsed = static_cast<std::uint64_t>((now - updated_).count());
    updated_ = now;
    const std::uint64_t room = capacity(burst_) - level_;
    // Compared by division: elapsed * rate_ may not fit in 64 bits after a long rest.
    if (rate_ != 0 && elapsed >= room / rate_ + 1) {
      level_ += room;
    } else {
      level_ += std::min(room, elapsed * rate_);
    }
  }

  std::uint64_t level_;
  Instant updated_;
  std::uint32_t rate_;
  std::uint32_t burst_;
};
static_assert(sizeof(TokenBucket) == 24);

}  // namespace hawser
