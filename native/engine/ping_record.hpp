#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/time.hpp"

namespace hawser {

// The PINGs of one connection that have no PONG yet, the last 16 at most. Sequence numbers count from 0 and
// wrap.
//
// Send times are the low 32 bits of the microseconds, which repeat after 71 minutes. So that an old PING is
// never taken for a young one, everything older than ten minutes is forgotten whenever another PING is sent,
// and everything an hour after the last PING: at most 70 minutes together.
class PingRecord {
 public:
  static constexpr std::size_t kOutstanding = 16;

  // Notes that a PING is sent now and gives its sequence number. Displaces the PING sixteen before it.
  std::uint16_t sent(Instant now) {
    forget_old(now);
    const std::uint16_t sequence = next_++;
    const std::size_t place = sequence % kOutstanding;
    times_[place] = microseconds(now);
    outstanding_ = static_cast<std::uint16_t>(outstanding_ | (1U << place));
    last_sent_ = seconds(now);
    return sequence;
  }

  // The time since the PING of that number was sent, which is then no longer outstanding. Nothing when it was
  // never sent, is answered already, or is forgotten. `now` is not before any earlier `now`.
  std::optional<Duration> answered(std::uint16_t sequence, Instant now) {
    const auto behind = static_cast<std::uint16_t>(next_ - 1U - sequence);
    const std::size_t place = sequence % kOutstanding;
    const unsigned bit = 1U << place;
    if (behind >= kOutstanding || (outstanding_ & bit) == 0) return std::nullopt;
    outstanding_ = static_cast<std::uint16_t>(outstanding_ & ~bit);
    if (seconds(now) - last_sent_ > kForgetAll) return std::nullopt;
    return Duration(microseconds(now) - times_[place]);
  }

  // Whether any PING waits for its PONG.
  [[nodiscard]] bool any_outstanding() const { return outstanding_ != 0; }

 private:
  static constexpr std::uint32_t kForgetAll = 3600;               // seconds
  static constexpr std::uint32_t kForgetOne = 600U * 1'000'000U;  // microseconds

  static std::uint32_t microseconds(Instant now) {
    return static_cast<std::uint32_t>(now.time_since_epoch().count());
  }
  static std::uint32_t seconds(Instant now) {
    return static_cast<std::uint32_t>(now.time_since_epoch() / std::chrono::seconds(1));
  }

  void forget_old(Instant now) {
    if (seconds(now) - last_sent_ > kForgetAll) outstanding_ = 0;
    for (std::size_t place = 0; place < kOutstanding; ++place) {
      if (microseconds(now) - times_[place] > kForgetOne)
        outstanding_ = static_cast<std::uint16_t>(outstanding_ & ~(1U << place));
    }
  }

  std::array<std::uint32_t, kOutstanding> times_{};
  std::uint32_t last_sent_ = 0;
  std::uint16_t next_ = 0;
  std::uint16_t outstanding_ = 0;  // bit sequence % 16
};
static_assert(sizeof(PingRecord) == 72);

}  // namespace hawser
