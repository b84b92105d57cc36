#include "engine/cubic.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "engine/hystart.hpp"

namespace hawser {
namespace {

// RFC 9438 sections 4.1.2 and 4.6.
constexpr double kC = 0.4;  // datagrams a second cubed
constexpr double kBeta = 0.7;
// RFC 9438 section 4.3: what makes a Reno flow with this beta as fast as one with a half.
constexpr double kRenoAlpha = 3 * (1 - kBeta) / (1 + kBeta);
// RFC 9438 section 4.4: no more than half as much again in a round trip.
constexpr double kMostGrowth = 1.5;
// RFC 9002 section 7.2.
constexpr std::size_t kMinimumWindow = 2;  // datagrams

// In slow start the window doubles within a round trip, so the rate must be twice what the window of now
// needs. Later a quarter above: the window, not the pacer, is to decide, and what a late timer or a late
// acknowledgement left unused is to be caught up (RFC 9002 section 7.7 recommends 1.25).
constexpr std::uint64_t kSlowStartPercent = 200;
constexpr std::uint64_t kAvoidancePercent = 125;

// HyStart++, RFC 9406 section 4.3. Packets are paced, so that growth in slow start needs no further limit
// (L).
constexpr std::uint8_t kRttSamples = 8;
constexpr double kCssGrowthDivisor = 4;
constexpr std::uint8_t kCssRounds = 5;

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

Cubic::Cubic(std::size_t max_datagram) { start(max_datagram); }

void Cubic::start(std::size_t max_datagram) {
  state_ = State{};
  max_datagram_ = static_cast<std::uint32_t>(max_datagram);
  state_.window = static_cast<double>(initial_window(max_datagram));
}

void Cubic::on_sent(SentPacketInfo& packet, std::size_t in_flight) {
  const std::size_t after = in_flight + packet.bytes;
  state_.peak = std::max(state_.peak, after);
  packet.snapshot = {.first_sent = packet.sent,
                     .delivered_at = packet.sent,
                     .delivered = state_.delivered,
                     .lost = state_.lost,
                     .in_flight = static_cast<std::uint32_t>(after),
                     .app_limited = state_.limited};
}

void Cubic::on_acked(const SentPacketInfo& packet, Instant /*now*/) {
  state_.delivered += packet.bytes;
  state_.newest_sent = std::max(state_.newest_sent, packet.sent);
  if (!state_.has_recovery || packet.sent > state_.recovery_start) state_.acked += packet.bytes;
}

void Cubic::on_lost(const SentPacketInfo& packet, Instant now) {
  state_.lost += packet.bytes;
  on_congestion(packet.sent, now);
}

// RFC 9438 sections 4.6 and 4.7; once for everything sent before (RFC 9002 section 7.3.2).
void Cubic::on_congestion(Instant sent, Instant now) {
  if (state_.has_recovery && sent <= state_.recovery_start) return;
  state_.has_recovery = true;
  state_.recovery_start = now;
  state_.acked = 0;
  const double before = state_.window;
  // Fast convergence: a window below the last plateau means that another flow needs room.
  const bool shrinking = state_.reduced && before < state_.most;
  state_.most = shrinking ? before * (1 + kBeta) / 2 : before;
  state_.prior = before;
  state_.window = std::max(before * kBeta, kMinimumWindow * datagram());
  state_.slow_start_threshold = state_.window;
  const double distance = std::max(state_.most - state_.window, 0.0) / datagram();
  state_.seconds_to_most = std::cbrt(distance / kC);
  state_.reduced = true;
  state_.has_epoch = false;
  state_.conservative_rounds = 0;
}

void Cubic::on_losses_begin() { before_losses_ = static_cast<const Curve&>(state_); }

// RFC 9438 section 4.9.2.
void Cubic::on_losses_undone() {
  const double window = std::max(state_.window, before_losses_.window);
  static_cast<Curve&>(state_) = before_losses_;
  state_.window = window;
  state_.has_recovery = false;
}

void Cubic::on_ack_done(const AckSummary& summary) {
  if (summary.round_trip != nullptr && summary.round_trip->has_sample()) {
    state_.smoothed = static_cast<std::uint32_t>(summary.round_trip->smoothed().count());
  }
  if (summary.newly_marked > 0) on_congestion(state_.newest_sent, summary.now);
  if (summary.acked_bytes > 0) {
    observe_round_trip(summary);
    grow(summary.now);
    state_.last_ack = summary.now;
  }
  state_.acked = 0;
}

// RFC 9406 section 4.2.
void Cubic::observe_round_trip(const AckSummary& summary) {
  if (summary.largest_acked >= state_.round_end) end_round(summary.next_number);
  if (!in_slow_start() || summary.latest_round_trip <= Duration::zero()) return;
  const auto sample = static_cast<std::uint32_t>(
      std::min<Duration::rep>(summary.latest_round_trip.count(), kNoRoundTrip - 1));
  state_.round_least = std::min(state_.round_least, sample);
  if (state_.round_samples < kRttSamples) ++state_.round_samples;
  if (state_.round_samples < kRttSamples) return;
  if (state_.conservative_rounds > 0) {
    // The rise was not ours: back to slow start.
    if (state_.round_least < state_.conservative_baseline) state_.conservative_rounds = 0;
  } else if (state_.last_round_least != kNoRoundTrip) {
    if (state_.round_least >= state_.last_round_least + hystart::rtt_thresh(state_.last_round_least)) {
      state_.conservative_baseline = state_.round_least;
      state_.conservative_rounds = 1;
    }
  }
}

void Cubic::end_round(std::uint64_t next_number) {
  state_.round_end = next_number;
  state_.peak_before = state_.peak;
  state_.peak = 0;
  state_.limited_before = state_.limited;
  state_.limited = false;
  if (!in_slow_start()) return;
  state_.last_round_least = state_.round_least;
  state_.round_least = kNoRoundTrip;
  state_.round_samples = 0;
  if (state_.conservative_rounds == 0) return;
  if (state_.conservative_rounds == kCssRounds) {
    state_.slow_start_threshold = state_.window;
    state_.conservative_rounds = 0;
  } else {
    ++state_.conservative_rounds;
  }
}

// RFC 9002 section 7.8 and RFC 9438 section 5.8: a window that is not used says nothing about the path. In
// slow start half of it is enough, since the other half has come within the last round trip.
bool Cubic::window_is_used() const {
  if (!state_.limited && !state_.limited_before) return true;
  const auto peak = static_cast<double>(std::max(state_.peak, state_.peak_before));
  return in_slow_start() ? 2 * peak > state_.window : peak + 2 * datagram() > state_.window;
}

void Cubic::grow(Instant now) {
  if (state_.acked == 0) return;
  if (!window_is_used()) {
    if (state_.has_epoch) state_.epoch += now - state_.last_ack;
    return;
  }
  const auto acked = static_cast<double>(state_.acked);
  if (!in_slow_start()) return avoid_congestion(acked, now);
  state_.window += state_.conservative_rounds > 0 ? acked / kCssGrowthDivisor : acked;
}

// W_cubic of RFC 9438 section 4.2, in bytes.
double Cubic::curve(double time) const {
  const double distance = time - state_.seconds_to_most;
  return kC * distance * distance * distance * datagram() + state_.most;
}

void Cubic::avoid_congestion(double acked, Instant now) {
  if (!state_.has_epoch) {
    state_.has_epoch = true;
    state_.epoch = now;
    state_.reno = state_.window;
    // RFC 9438 sections 4.8 and 4.10: after a slow start that did not end in a loss.
    if (!state_.reduced) {
      state_.most = state_.window;
      state_.prior = state_.window;
      state_.seconds_to_most = 0;
      state_.reduced = true;
    }
  }
  const double time = seconds(now - state_.epoch);
  const double alpha = state_.reno < state_.prior ? kRenoAlpha : 1;
  state_.reno += alpha * datagram() * acked / state_.window;
  if (curve(time) < state_.reno) {
    state_.window = std::max(state_.window, state_.reno);
    return;
  }
  const double target = std::clamp(curve(time + seconds(Duration(state_.smoothed))), state_.window,
                                   kMostGrowth * state_.window);
  state_.window += (target - state_.window) * std::min(acked / state_.window, 1.0);
}

void Cubic::on_persistent_congestion(Instant now) {
  on_congestion(now, now);
  state_.window = kMinimumWindow * datagram();
  // RFC 9438 section 4.8: slow start, and then a curve that begins at its plateau.
  state_.reduced = false;
  state_.has_recovery = false;
  state_.last_round_least = kNoRoundTrip;
}

void Cubic::on_app_limited(std::size_t /*in_flight*/) { state_.limited = true; }

void Cubic::on_path(std::size_t max_datagram, bool fresh, Instant /*now*/) {
  if (fresh) return start(max_datagram);
  max_datagram_ = static_cast<std::uint32_t>(max_datagram);
  state_.window = std::max(state_.window, kMinimumWindow * datagram());
}

std::uint64_t Cubic::pacing_rate() const {
  const bool doubling = in_slow_start() && state_.conservative_rounds == 0;
  const std::uint64_t percent = doubling ? kSlowStartPercent : kAvoidancePercent;
  const auto bytes = static_cast<std::uint64_t>(state_.window);
  if (state_.smoothed == 0)
    return bytes * kMicrosecondsPerSecond / static_cast<std::uint64_t>(RoundTrip::kInitial.count());
  return bytes * percent / 100 * kMicrosecondsPerSecond / state_.smoothed + 1;
}

}  // namespace hawser
