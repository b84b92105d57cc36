#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.hpp"
#include "engine/round_trip.hpp"

namespace hawser {

// How far the path reorders packets, learnt from packets that were acknowledged after later ones. RFC 9002
// section 6.1 lets the thresholds of loss detection adapt. RACK (RFC 8985 section 6.2) has the same rule:
// packets are counted only while the path keeps their order. After that, only time decides.
class Reordering {
 public:
  // Round trips without a late packet after which the window becomes smaller.
  static constexpr std::uint8_t kRounds = 8;

  // Whether packets came so late recently that a count of later packets does not show a loss.
  [[nodiscard]] bool is_seen() const { return window_ > Duration::zero(); }

  // How long after it was sent a packet counts as lost once a later one has been acknowledged: the round trip
  // and the window. The window is at least an eighth of the round trip (RFC 9002 section 6.1.2) and at most
  // the round trip, whatever the peer acknowledges.
  [[nodiscard]] Duration loss_delay(Duration round_trip) const {
    const Duration window = std::clamp(window_, round_trip / 8, round_trip);
    return std::max(round_trip + window, RoundTrip::kGranularity);
  }

  // A packet was acknowledged after later ones, `elapsed` after it was sent; `round_trip` as above.
  void on_late(Duration elapsed, Duration round_trip) {
    // The next one may be later than this one: with a quarter more, few have to be taken for lost until the
    // latest is known.
    const Duration needed = std::min((elapsed - round_trip) * 5 / 4, round_trip);
    newest_ = std::max({newest_, needed, RoundTrip::kGranularity});
    window_ = std::max(window_, newest_);
  }

  // A round trip has ended.
  void on_round() {
    if (!is_seen() || ++rounds_ < kRounds) return;
    rounds_ = 0;
    const Duration smaller = window_ - window_ / 4;
    window_ = std::max(newest_, smaller < RoundTrip::kGranularity ? Duration::zero() : smaller);
    newest_ = Duration::zero();
  }

 private:
  Duration window_{};
  Duration newest_{};  // what this period has shown
  std::uint8_t rounds_ = 0;
};

}  // namespace hawser
