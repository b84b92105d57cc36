#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/time.hpp"

namespace hawser {

// The round-trip estimator of RFC 9002 section 5, for timers and congestion control, and beside it current(),
// for users: that one weights samples by the time between them and not by their number. Fed by PONGs and by
// acknowledgements. Microseconds in 32 bits: a sample of more than 71 minutes counts as 71 minutes.
class RoundTrip {
 public:
  // RFC 9002 section 6.2.2: what is assumed before the first sample.
  static constexpr Duration kInitial = std::chrono::milliseconds(333);
  // RFC 9002 section 6.1.2: no timer is finer than this.
  static constexpr Duration kGranularity = std::chrono::milliseconds(1);

  // In so much time the weight of all samples before falls to one half.
  static constexpr Duration kHalfLife = std::chrono::milliseconds(350);

  // Adds a round trip from which the other side's delay is already taken off; less than 1 us counts as 1 us.
  // `now` is not before any earlier `now`.
  void add_sample(Duration round_trip, Instant now) { add_sample(round_trip, round_trip, now); }
  // Likewise, where RFC 9002 section 5.3 takes off less than the whole delay: `without_delay` is for
  // current() only.
  void add_sample(Duration round_trip, Duration without_delay, Instant now) {
    const std::uint32_t sample = clamped(round_trip);
    add_current(static_cast<float>(clamped(without_delay)), ticks(now));
    if (!has_sample()) {
      minimum_ = smoothed_ = sample;
      variation_ = sample / 2;
    } else {
      minimum_ = std::min(minimum_, sample);
      const std::uint32_t difference = smoothed_ > sample ? smoothed_ - sample : sample - smoothed_;
      variation_ = average(variation_, difference, 4);
      smoothed_ = average(smoothed_, sample, 8);
    }
    latest_ = sample;
  }

  [[nodiscard]] bool has_sample() const { return latest_ != 0; }

  // Zero before the first sample.
  [[nodiscard]] Duration latest() const { return Duration(latest_); }
  [[nodiscard]] Duration minimum() const { return Duration(minimum_); }

  // Average of the samples, each weighted by the time since the one before; older ones fade by kHalfLife.
  // A sample after a silence counts nearly fully, one of many in a short time hardly. Zero before the first
  // sample.
  [[nodiscard]] Duration current() const { return Duration(std::llround(current_)); }

  // Whether the last sample is older than `age`, at most a day, or there is none.
  [[nodiscard]] bool is_older_than(Duration age, Instant now) const {
    const auto limit = static_cast<std::uint32_t>(age.count() >> kTickBits);
    return !has_sample() || ticks(now) - current_ticks_ > limit;
  }

  // The initial values of RFC 9002 section 6.2.2 before the first sample.
  [[nodiscard]] Duration smoothed() const { return has_sample() ? Duration(smoothed_) : kInitial; }
  [[nodiscard]] Duration variation() const { return has_sample() ? Duration(variation_) : kInitial / 2; }

  // The probe timeout of RFC 9002 section 6.2.1 with a max_ack_delay of zero: what asks for an
  // acknowledgement gets it with the next packet (docs/protocol.md section 6).
  [[nodiscard]] Duration pto() const { return smoothed() + std::max(variation() * 4, kGranularity); }

 private:
  static constexpr Duration::rep kMax = std::numeric_limits<std::uint32_t>::max();

  static std::uint32_t clamped(Duration duration) {
    return static_cast<std::uint32_t>(std::clamp<Duration::rep>(duration.count(), 1, kMax));
  }

  // ((parts - 1) * old + sample) / parts, rounded to nearest so that it has no downward bias.
  static std::uint32_t average(std::uint32_t old, std::uint32_t sample, std::uint64_t parts) {
    return static_cast<std::uint32_t>(((parts - 1) * old + sample + parts / 2) / parts);
  }

  // 1.024 ms. 32 bits of them repeat after 50 days, far beyond the timeout of any connection.
  static constexpr unsigned kTickBits = 10;
  static std::uint32_t ticks(Instant now) {
    return static_cast<std::uint32_t>(now.time_since_epoch().count() >> kTickBits);
  }

  void add_current(float sample, std::uint32_t now) {
    if (!has_sample()) {
      current_ = sample;
    } else {
      const auto passed = static_cast<float>(now - current_ticks_);
      constexpr auto kHalfLifeTicks = static_cast<float>(kHalfLife.count() >> kTickBits);
      current_ = sample + (current_ - sample) * std::exp2(-passed / kHalfLifeTicks);
    }
    current_ticks_ = now;
  }

  std::uint32_t latest_ = 0;
  std::uint32_t minimum_ = 0;
  std::uint32_t smoothed_ = 0;
  std::uint32_t variation_ = 0;
  float current_ = 0;
  std::uint32_t current_ticks_ = 0;  // of the last sample
};
static_assert(sizeof(RoundTrip) == 24);

}  // namespace hawser
