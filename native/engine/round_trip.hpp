#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>

#include "base/time.hpp"

namespace hawser {

// The round-trip estimator of RFC 9002 section 5, fed by PING and PONG. Microseconds in 32 bits: a sample of
// more than 71 minutes counts as 71 minutes.
class RoundTrip {
 public:
  // RFC 9002 section 6.2.2: what is assumed before the first sample.
  static constexpr Duration kInitial = std::chrono::milliseconds(333);
  // RFC 9002 section 6.1.2: no timer is finer than this.
  static constexpr Duration kGranularity = std::chrono::milliseconds(1);

  // Adds a round trip from which the other side's delay is already taken off; less than 1 us counts as 1 us.
  void add_sample(Duration round_trip) {
    const Duration::rep clamped = std::clamp<Duration::rep>(round_trip.count(), 1, kMax);
    const auto sample = static_cast<std::uint32_t>(clamped);
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

  // The initial values of RFC 9002 section 6.2.2 before the first sample.
  [[nodiscard]] Duration smoothed() const { return has_sample() ? Duration(smoothed_) : kInitial; }
  [[nodiscard]] Duration variation() const { return has_sample() ? Duration(variation_) : kInitial / 2; }

  // The probe timeout of RFC 9002 section 6.2.1 with a max_ack_delay of zero: what asks for an
  // acknowledgement gets it with the next packet (docs/protocol.md section 6).
  [[nodiscard]] Duration pto() const { return smoothed() + std::max(variation() * 4, kGranularity); }

 private:
  static constexpr Duration::rep kMax = std::numeric_limits<std::uint32_t>::max();

  // ((parts - 1) * old + sample) / parts, rounded to nearest so that it has no downward bias.
  static std::uint32_t average(std::uint32_t old, std::uint32_t sample, std::uint64_t parts) {
    return static_cast<std::uint32_t>(((parts - 1) * old + sample + parts / 2) / parts);
  }

  std::uint32_t latest_ = 0;
  std::uint32_t minimum_ = 0;
  std::uint32_t smoothed_ = 0;
  std::uint32_t variation_ = 0;
};
static_assert(sizeof(RoundTrip) == 16);

}  // namespace hawser
