#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/time.hpp"

namespace hawser {

// Spreads packets over a round trip (RFC 9002 section 7.7): a token bucket whose rate may be another at each
// call. It counts in millionths of a byte, of which a microsecond brings exactly `rate`: no rounding, so no
// drift however often it is asked.
class Pacer {
 public:
  // The driver's timers are ticks of 1 ms and may be late by one: what two of them bring must fit.
  static constexpr Duration kBurst = std::chrono::milliseconds(2);
  // At the start only (RFC 9002 section 7.2: the initial window may be sent at once).
  static constexpr std::size_t kFirstBurst = 10;
  // Otherwise, at rates that give less than this in kBurst: a receiver acknowledges every second packet.
  static constexpr std::size_t kLeastBurst = 2;

  // `max_datagram`: UDP payload bytes of a full packet.
  Pacer(std::size_t max_datagram, Instant now)
      : level_(scaled(kFirstBurst * max_datagram)),
        updated_(now),
        max_datagram_(static_cast<std::uint32_t>(max_datagram)) {}

  void set_max_datagram(std::size_t max_datagram) {
    max_datagram_ = static_cast<std::uint32_t>(max_datagram);
  }

  // Whether a packet of `bytes` may leave now. `rate`: CongestionController::pacing_rate().
  [[nodiscard]] bool may_send(Instant now, std::uint64_t rate, std::size_t bytes) {
    level_ = level_at(now, rate, bytes);
    updated_ = std::max(updated_, now);
    return level_ >= scaled(bytes);
  }

  // Takes what was sent, be it allowed or not: a probe is sent in any case and paid for afterwards.
  void on_sent(std::size_t bytes) { level_ -= scaled(bytes); }

  // The earliest instant from `now` on at which may_send() says yes, were the rate to stay as it is.
  [[nodiscard]] Instant next_time(Instant now, std::uint64_t rate, std::size_t bytes) const {
    const std::int64_t missing = scaled(bytes) - level_at(now, rate, bytes);
    const std::int64_t pace = clamped(rate);
    return missing <= 0 ? now : now + Duration((missing + pace - 1) / pace);
  }

 private:
  static constexpr std::int64_t kScale = 1'000'000;
  // 8 Tbit/s: beyond what is ever measured, small enough that no product overflows.
  static constexpr std::uint64_t kFastest = 1'000'000'000'000;

  static constexpr std::int64_t scaled(std::size_t bytes) {
    return static_cast<std::int64_t>(bytes) * kScale;
  }
  static std::int64_t clamped(std::uint64_t rate) {
    return static_cast<std::int64_t>(std::clamp<std::uint64_t>(rate, 1, kFastest));
  }

  [[nodiscard]] std::int64_t level_at(Instant now, std::uint64_t rate, std::size_t bytes) const {
    const std::int64_t pace = clamped(rate);
    const std::int64_t burst =
        std::max<std::int64_t>(pace * kBurst.count(), scaled(std::max(kLeastBurst * max_datagram_, bytes)));
    // Probes and packets of a higher rate before cost at most one burst of silence.
    const std::int64_t level = std::max(level_, -burst);
    // The first burst may be more than what a pause brings: it is kept until it is used.
    if (now <= updated_ || level >= burst) return level;
    const std::int64_t elapsed = (now - updated_).count();
    // Compared by division: elapsed * pace may not fit in 64 bits after a long rest.
    return elapsed > (burst - level) / pace ? burst : level + elapsed * pace;
  }

  std::int64_t level_;
  Instant updated_;
  std::uint32_t max_datagram_;
};
static_assert(sizeof(Pacer) == 24);

}  // namespace hawser
